import type { Clock } from "../base/clock.ts";
import { hex } from "../base/bytes.ts";
import type { Random } from "../base/random.ts";
import type { Raft, ReadState } from "../raft/mod.ts";
import type { Call } from "./call.ts";

/** Told whether the state has everything now that was acknowledged before the question. */
type Told = (confirmed: boolean) => void;

/** One question to the leader, on behalf of everybody who had one. */
interface Attempt {
  readonly startedMs: number;
  readonly askers: readonly Told[];
}

/** An attempt without an answer is forgotten: each has a new id, so a late one harms nobody. */
const ATTEMPTS_MAX = 1_000;
const PATIENCE_MS = 500;

/**
 * Reads that have seen everything acknowledged before they began, by ReadIndex (Raft thesis,
 * section 6.4). The same answers say how old this server's view of the cluster is at most.
 */
export class Reads {
  readonly #core: Raft;
  readonly #clock: Clock;
  readonly #prefix: string;
  #counter = 0;
  /** Who has a question since the last attempt. */
  #asking: Told[] = [];
  #due = false;
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

  /** True when the state is there; false where nobody said so, and it may be asked again. */
  async confirm(call: Call): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const giveUp = () => resolve(false);
    const cancel = this.#clock.after(Math.min(PATIENCE_MS, call.leftMs), giveUp);
    call.signal?.addEventListener("abort", giveUp, { once: true });
    this.ask(resolve);
    try {
      return await promise;
    } finally {
      cancel();
      call.signal?.removeEventListener("abort", giveUp);
    }
  }

  /** Asks with the next attempt, also where nobody waits for the answer. */
  ask(told?: Told): void {
    this.#due = true;
    if (told !== undefined) this.#asking.push(told);
  }

  get waiting(): boolean {
    return this.#due;
  }

  /**
   * To be called before every turn: one attempt serves all who have asked since the last one, for
   * it begins after all of them.
   */
  attempt(): void {
    if (!this.#due) return;
    const askers = this.#asking;
    this.#asking = [];
    this.#due = false;
    const context = `${this.#prefix}-${++this.#counter}`;
    if (this.#core.readIndex(context).kind !== "accepted") {
      return askers.forEach((told) => told(false));
    }
    this.#asked.set(context, { startedMs: this.#clock.monotonicMs(), askers });
    if (this.#asked.size > ATTEMPTS_MAX) this.#asked.delete(this.#asked.keys().next().value!);
  }

  /** For good: nobody is asked any more. */
  giveUp(): void {
    const attempts = [...this.#asked.values(), ...this.#waiting.map(({ attempt }) => attempt)];
    for (const told of [...this.#asking, ...attempts.flatMap(({ askers }) => askers)]) told(false);
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
      attempt.askers.forEach((told) => told(true));
    }
  }
}
