/** The rules of time, all on the lease clock, all in milliseconds. */

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

/** No tick entry is written more often than this, unless a deadline comes earlier. */
export const TICK_MS = 10_000;

/** The TTL of an ephemeral node: it goes soon after it is gone. */
export const EPHEMERAL_TTL_MS = 10 * MINUTE_MS;

export function ttlOf(leaseTtlMs: number, ephemeral: boolean): number {
  return ephemeral ? Math.min(leaseTtlMs, EPHEMERAL_TTL_MS) : leaseTtlMs;
}

/** How long an expired subnet waits: its holder may still be there, with a slow clock. */
export function expiryQuarantineMs(ttlMs: number): number {
  return Math.max(HOUR_MS, Math.ceil(ttlMs / 24));
}

/** How long after its own deadline a subnet waits that was taken from its holder by force. */
export function removalMarginMs(ttlMs: number): number {
  return Math.max(MINUTE_MS, Math.ceil(ttlMs / 24));
}

/** How long a new leader expires nothing: holders must have the time to find it. */
export function newLeaderGraceMs(shortestTtlMs: number): number {
  return Math.min(30_000, shortestTtlMs);
}

/** When a holder renews: a third of the TTL, ± 10 %, so that a fleet does not move in step. */
export function renewAfterMs(ttlMs: number, fraction: number): number {
  return (ttlMs / 3) * (0.9 + 0.2 * fraction);
}
