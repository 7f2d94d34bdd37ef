import type { Clock } from "../base/clock.ts";
import { hex } from "../base/bytes.ts";
import type { Random } from "../base/random.ts";
import type { Raft, ReadState } from "../raft/mod.ts";

interface Attempt {
  readonly startedMs: number;
  readonly done: (() => void) | undefined;
}

/** An attempt without an answer is forgotten: each has a new id, so a late one harms nobody. */
const ATTEMPTS_MAX = 1_000;

/**
 * Reads that have seen everything acknowledged before they began, by ReadIndex (Raft thesis,
 * section 6.4). The same answers say how old this server's view of the cluster is at most.
 */
export class Reads {
  readonly #core: Raft;
  readonly #clock: Clock;
  readonly #prefix: string;
  #counter = 0;
  readonly #asked = new Map<string, Attempt>();
  /** Confirmed, waiting for the state to reach the index. */
  #waiting: { readonly index: number; readonly attempt: Attempt }[] = [];
  #confirmedMs: number | undefined;

  constructor(core: Raft, options: { clock: Clock; random: Random }) {
    this.#core = core;
    this.#clock = options.clock;
    this.#prefix = hex(options.random.bytes(6));
  }

  /** When a leader last stood behind this server's whole state, on the monotonic clock. */
  get confirmedMs(): number | undefined {
    return this.#confirmedMs;
  }

  /** Asks once; false when there is nobody to ask. `done` is called when the state is there. */
  ask(done?: () => void): boolean {
    const context = `${this.#prefix}-${++this.#counter}`;
    if (this.#core.readIndex(context).kind !== "accepted") return false;
    this.#asked.set(context, { startedMs: this.#clock.monotonicMs(), done });
    if (this.#asked.size > ATTEMPTS_MAX) this.#asked.delete(this.#asked.keys().next().value!);
    return true;
  }

  /** The core's answers, then how far the state has got. */
  settle(states: readonly ReadState[], appliedIndex: number): void {
    for (const { context, index } of states) {
      const attempt = this.#asked.get(context);
      if (attempt === undefined) continue;
      this.#asked.delete(context);
      this.#waiting.push({ index, attempt });
    }
    if (this.#waiting.length === 0) return;
    const reached = this.#waiting.filter(({ index }) => index <= appliedIndex);
    this.#waiting = this.#waiting.filter(({ index }) => index > appliedIndex);
    for (const { attempt } of reached) {
      this.#confirmedMs = Math.max(this.#confirmedMs ?? 0, attempt.startedMs);
      attempt.done?.();
    }
  }
}
