import type { Clock } from "../base/clock.ts";
import type { Command, Stamp } from "../lease/command.ts";
import { currentConfig } from "../lease/current-config.ts";
import { newLeaderGraceMs, TICK_MS } from "../lease/deadline.ts";
import { expiredLeases } from "../lease/expiry.ts";
import type { State } from "../lease/state.ts";

/** Two of the leader's own entries are at least this far apart. */
const STEP_MIN_MS = 250;

/**
 * What only a leader does: it lends the log its clock, and says when a lease has run out. Time
 * without a leader does not count, so a change of leader only makes leases longer.
 */
export class Leading {
  readonly #clock: Clock;
  readonly #sinceMs: number;
  readonly term: number;
  #stampedMs: number;
  #proposedMs = -Infinity;

  /** Made when the server becomes leader of the term. */
  constructor(clock: Clock, term: number) {
    this.#clock = clock;
    this.term = term;
    this.#sinceMs = clock.monotonicMs();
    this.#stampedMs = this.#sinceMs;
  }

  /** For the entry that is proposed next. */
  stamp(): Stamp {
    const elapsedMs = Math.floor(this.#clock.monotonicMs() - this.#stampedMs);
    return { elapsedMs, wallMs: Math.floor(this.#clock.wallMs()) };
  }

  /** The stamp is in the log. The fraction that was cut off counts with the next. */
  stamped({ elapsedMs }: Stamp): void {
    this.#stampedMs += elapsedMs;
  }

  /** The entry that is due now, if any. */
  due(state: State): Command | undefined {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#proposedMs < STEP_MIN_MS) return undefined;
    const command = this.#expiry(state, nowMs) ?? this.#tick(state, nowMs);
    if (command !== undefined) this.#proposedMs = nowMs;
    return command;
  }

  #expiry(state: State, nowMs: number): Command | undefined {
    const config = currentConfig(state);
    if (config === undefined) return undefined;
    // Holders that renewed with the last leader need the time to find this one.
    if (nowMs - this.#sinceMs < newLeaderGraceMs(config.leaseTtlMs)) return undefined;
    const leases = expiredLeases(state, state.clockMs + nowMs - this.#stampedMs);
    return leases.length === 0 ? undefined : { kind: "lease.expire", leases };
  }

  #tick(state: State, nowMs: number): Command | undefined {
    const deadlineMs = state.nextDeadlineMs();
    if (deadlineMs === undefined) return undefined;
    const untilMs = Math.max(deadlineMs - state.clockMs, 0);
    const waitMs = untilMs === 0 ? TICK_MS : Math.min(TICK_MS, untilMs);
    return nowMs - this.#stampedMs >= waitMs ? { kind: "tick" } : undefined;
  }
}
