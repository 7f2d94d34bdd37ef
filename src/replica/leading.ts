import type { Clock } from "../base/clock.ts";
import type { Command, Stamp } from "../lease/command.ts";
import { currentConfig } from "../lease/current-config.ts";
import { newLeaderGraceMs, TICK_MS } from "../lease/deadline.ts";
import { expiredLeases } from "../lease/expiry.ts";
import { theHold } from "../lease/hold.ts";
import { type State, theCluster, theGroup } from "../lease/state.ts";
import type { Checkpoint } from "../store/checkpoint.ts";

/** Two of the leader's own entries are at least this far apart. */
const STEP_MIN_MS = 250;
/** How often replicas see whether they have the same state. A difference shows at the next time. */
const CHECK_MS = 5 * 60_000;

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
  #checkedMs: number;
  /** When the cluster was last seen on hold. */
  #heldMs = -Infinity;

  /** Made when the server becomes leader of the term. */
  constructor(clock: Clock, term: number) {
    this.#clock = clock;
    this.term = term;
    this.#sinceMs = clock.monotonicMs();
    this.#stampedMs = this.#sinceMs;
    this.#checkedMs = this.#sinceMs;
  }

  /** For the entry that is proposed next. */
  stamp(): Stamp {
    const elapsedMs = Math.floor(this.#clock.monotonicMs() - this.#stampedMs);
    return { elapsedMs, wallMs: Math.floor(this.#clock.wallMs()) };
  }

  /** The stamp is on its way into the log. The fraction that was cut off counts with the next. */
  stamped({ elapsedMs }: Stamp): void {
    this.#stampedMs += elapsedMs;
  }

  /** It did not get there: its time counts with the next. */
  unstamped({ elapsedMs }: Stamp): void {
    this.#stampedMs -= elapsedMs;
  }

  /** The entry that is due now, if any. */
  due(state: State, checkpoint: Checkpoint): Command | undefined {
    const nowMs = this.#clock.monotonicMs();
    if (theHold(state) !== undefined) this.#heldMs = nowMs;
    if (nowMs - this.#proposedMs < STEP_MIN_MS) return undefined;
    const command = this.#holdEnd(state, nowMs) ?? this.#expiry(state, nowMs) ??
      this.#check(state, nowMs, checkpoint) ?? this.#tick(state, nowMs);
    if (command !== undefined) this.#proposedMs = nowMs;
    return command;
  }

  #holdEnd(state: State, nowMs: number): Command | undefined {
    const hold = theHold(state);
    if (hold === undefined || hold.endsMs > this.#clockMs(state, nowMs)) return undefined;
    return { kind: "cluster.release-hold", epoch: theCluster(state)!.epoch, early: false };
  }

  #expiry(state: State, nowMs: number): Command | undefined {
    const config = currentConfig(state);
    if (config === undefined) return undefined;
    // Holders that renewed with the last leader need the time to find this one, and those that a
    // hold has fenced to claim what they had.
    const quietMs = nowMs - Math.max(this.#sinceMs, this.#heldMs);
    if (quietMs < newLeaderGraceMs(config.leaseTtlMs)) return undefined;
    const leases = expiredLeases(state, this.#clockMs(state, nowMs));
    return leases.length === 0 ? undefined : { kind: "lease.expire", leases };
  }

  /** Where there is nobody to compare with, nothing is compared. */
  #check(state: State, nowMs: number, checkpoint: Checkpoint): Command | undefined {
    const { voters, learners } = theGroup(state);
    const due = nowMs - this.#checkedMs >= CHECK_MS && voters.length + learners.length > 1;
    if (!due) return undefined;
    this.#checkedMs = nowMs;
    return { kind: "check", ...checkpoint };
  }

  #tick(state: State, nowMs: number): Command | undefined {
    const deadlineMs = Math.min(
      state.nextDeadlineMs() ?? Infinity,
      theHold(state)?.endsMs ?? Infinity,
    );
    if (deadlineMs === Infinity) return undefined;
    const untilMs = Math.max(deadlineMs - state.clockMs, 0);
    const waitMs = untilMs === 0 ? TICK_MS : Math.min(TICK_MS, untilMs);
    return nowMs - this.#stampedMs >= waitMs ? { kind: "tick" } : undefined;
  }

  /** Where an entry of now will bring the lease clock. */
  #clockMs(state: State, nowMs: number): number {
    return state.clockMs + nowMs - this.#stampedMs;
  }
}
