import type { Clock } from "../base/clock.ts";
import type { Command, Stamp } from "../lease/command.ts";
import { newLeaderGraceMs, TICK_MS } from "../lease/deadline.ts";
import { expiredLeases, nextDeadlineMs } from "../lease/expiry.ts";
import { parseNetworkConfig } from "../lease/network.ts";
import { type StateReader, theNetwork } from "../lease/state.ts";

/** Two of the leader's own entries are at least this far apart. */
const STEP_MIN_MS = 250;

/**
 * What only a leader does: it lends the log its clock, and says when a lease has run out. Time
 * without a leader does not count, so a change of leader only makes leases longer.
 */
export class Leading {
  readonly #clock: Clock;
  readonly #sinceMs: number;
  #stampedMs: number;
  #proposedMs = -Infinity;

  /** Made when the server becomes leader. */
  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sinceMs = clock.monotonicMs();
    this.#stampedMs = this.#sinceMs;
  }

  /** For the entry that is proposed next. The fraction that is cut off counts with the next. */
  stamp(): Stamp {
    const elapsedMs = Math.floor(this.#clock.monotonicMs() - this.#stampedMs);
    this.#stampedMs += elapsedMs;
    return { elapsedMs, wallMs: Math.floor(this.#clock.wallMs()) };
  }

  /** The entry that is due now, if any. */
  due(state: StateReader): Command | undefined {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#proposedMs < STEP_MIN_MS) return undefined;
    const command = this.#expiry(state, nowMs) ?? this.#tick(state, nowMs);
    if (command !== undefined) this.#proposedMs = nowMs;
    return command;
  }

  #expiry(state: StateReader, nowMs: number): Command | undefined {
    const config = theNetwork(state);
    if (config === undefined) return undefined;
    const { leaseTtlMs } = parseNetworkConfig(config, { unknownKeys: "keep" });
    // Holders that renewed with the last leader need the time to find this one.
    if (nowMs - this.#sinceMs < newLeaderGraceMs(leaseTtlMs)) return undefined;
    const leases = expiredLeases(state, state.clockMs + nowMs - this.#stampedMs);
    return leases.length === 0 ? undefined : { kind: "lease.expire", leases };
  }

  #tick(state: StateReader, nowMs: number): Command | undefined {
    const deadlineMs = nextDeadlineMs(state);
    if (deadlineMs === undefined) return undefined;
    const untilMs = Math.max(deadlineMs - state.clockMs, 0);
    const waitMs = untilMs === 0 ? TICK_MS : Math.min(TICK_MS, untilMs);
    return nowMs - this.#stampedMs >= waitMs ? { kind: "tick" } : undefined;
  }
}
