import type { LeaseAnswer } from "./command.ts";
import type { Epoch } from "./records.ts";

/** The times of one moment on one host. */
export interface HostTime {
  /** Counts suspend; starts again at each boot. */
  readonly bootMs: number;
  readonly wallMs: number;
  /** Names the boot (`/proc/sys/kernel/random/boot_id`). */
  readonly bootId: string;
}

/** A lease as its holder remembers it, in `identity/lease.json`. */
export interface Holding {
  readonly subnets: readonly string[];
  readonly revision: number;
  readonly epoch: Epoch;
  readonly ttlMs: number;
  /** When the request was sent that the cluster answered last: the TTL counts from there. */
  readonly sent: HostTime;
}

/** No holder believes in a longer TTL than this. */
const TTL_MAX_MS = 24 * 3_600_000;
/** A holder stops believing this much before the cluster does: its clock may be slow. */
const TTL_SHARE = 0.99;

export function holdingFrom(answer: LeaseAnswer, sent: HostTime): Holding {
  const { subnets, revision, epoch, ttlMs } = answer;
  return { subnets, revision, epoch, ttlMs, sent };
}

/**
 * Milliseconds until the holder has to stop trusting its lease, 0 when it must not trust it now.
 * The greater of both clocks counts, since one may have stood still; after a reboot, or when a
 * clock went back, nothing can be said and the lease is fenced until the cluster confirms it.
 */
export function trustedForMs(holding: Holding, now: HostTime): number {
  if (holding.sent.bootId !== now.bootId) return 0;
  const byBootMs = now.bootMs - holding.sent.bootMs;
  const byWallMs = now.wallMs - holding.sent.wallMs;
  if (byBootMs < 0 || byWallMs < 0) return 0;
  const elapsedMs = Math.max(byBootMs, byWallMs);
  return Math.max(0, Math.min(holding.ttlMs, TTL_MAX_MS) * TTL_SHARE - elapsedMs);
}
