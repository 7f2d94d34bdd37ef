import type { Clock } from "../base/clock.ts";
import { DenimError } from "../base/errors.ts";
import type { CallOptions } from "../lease/cluster.ts";
import { unknownOutcome } from "./waiters.ts";

export const CALL_TIMEOUT_MS = 10_000;
/** What says for certain that nothing was proposed, and may be over soon. */
export const WORTH_A_RETRY = ["NOT_LEADER", "NO_LEADER", "PEER_UNREACHABLE", "OVERLOADED"] as const;

/** One caller's patience: how long it waits, and whether it still does. */
export class Call {
  readonly #clock: Clock;
  readonly #endMs: number;
  readonly signal: AbortSignal | undefined;

  constructor(clock: Clock, options: CallOptions = {}) {
    const { signal, timeoutMs = CALL_TIMEOUT_MS } = options;
    this.#clock = clock;
    this.#endMs = clock.monotonicMs() + timeoutMs;
    this.signal = signal;
  }

  get leftMs(): number {
    return Math.max(0, this.#endMs - this.#clock.monotonicMs());
  }

  get isOver(): boolean {
    return this.leftMs === 0 || this.signal?.aborted === true;
  }

  /**
   * The answer to something that was sent off and cannot be called back.
   *
   * @throws `OUTCOME_UNKNOWN` when the call is over before
   */
  async answer<T>(work: Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const late = () => reject(unknownOutcome("it was not confirmed in time"));
    const leave = () => reject(unknownOutcome("nobody waited for the answer"));
    const cancel = this.#clock.after(this.leftMs, late);
    if (this.signal?.aborted) leave();
    else this.signal?.addEventListener("abort", leave, { once: true });
    work.then(resolve, reject);
    try {
      return await promise;
    } finally {
      cancel();
      this.signal?.removeEventListener("abort", leave);
    }
  }

  /** Why a call that is over has nothing to show, and nothing was sent. */
  overWith(reason: DenimError): DenimError {
    return this.signal?.aborted
      ? new DenimError("CANCELLED", "The call was given up before anything was sent")
      : reason;
  }
}

export function noLeader(): DenimError {
  return new DenimError("NO_LEADER", "No server leads the cluster", {
    why: "fewer than half of the voters can reach each other; routes stay as they are",
    fix: "start the missing servers; denim status shows which",
  });
}
