import type { Canonical } from "../../src/base/canonical.ts";
import { type Clock, sleep } from "../../src/base/clock.ts";
import { DenimError } from "../../src/base/errors.ts";
import type { CallOptions, Cluster, Feed, Position, View } from "../../src/lease/cluster.ts";
import type { Answer, Command } from "../../src/lease/command.ts";
import { ELAPSED_MAX_MS } from "../../src/lease/command.ts";
import { Copy } from "../../src/store/copy.ts";
import { initCommand, OPEN_TOKEN } from "./ledger.ts";

/**
 * A whole cluster in memory, as one node sees it: the state machine without a group. Tests tell it
 * what goes wrong. By default it is the cluster of host 0, with an open token.
 */
export class MemoryCluster implements Cluster {
  readonly copy = new Copy(undefined, []);
  /** Every command that was applied, in order. */
  readonly commands: Command[] = [];
  /** How long a call takes. */
  delayMs = 0;
  readonly #clock: Clock;
  readonly #listeners = new Set<() => void>();
  readonly #stop = new AbortController();
  #index = 0;
  #hasLeader = true;
  #leaderSeenMs: number;
  #stampedMs: number;
  #lostAnswers = 0;

  constructor(clock: Clock, start: readonly Command[] = [initCommand(), OPEN_TOKEN]) {
    this.#clock = clock;
    this.#leaderSeenMs = this.#stampedMs = clock.monotonicMs();
    start.forEach((command) => this.#enter(command, 0));
  }

  /** From now on nobody leads: nothing is written, and the view grows old. */
  loseLeader(): void {
    if (!this.#hasLeader) return;
    this.#leaderSeenMs = this.#clock.monotonicMs();
    this.#hasLeader = false;
    this.#tell();
  }

  /** Somebody leads again. The time in between does not count for leases. */
  findLeader(): void {
    this.#hasLeader = true;
    this.#stampedMs = this.#clock.monotonicMs();
    this.#tell();
  }

  /** The next calls are applied, but their callers never hear of it. */
  loseAnswers(count = 1): void {
    this.#lostAnswers = count;
  }

  /** Another node's command. @throws the refusal */
  apply(command: Command): Canonical {
    return valueOf(this.#enter(command, this.#elapsedMs()));
  }

  /** The node's lease runs out, however long that takes on the lease clock. */
  expire(node: string): void {
    const { state } = this.copy;
    const lease = state.find("leaseByNode", node)[0];
    if (lease === undefined) throw new Error(`${node} has no lease`);
    const { deadlineMs } = state.get("deadline", lease.key)!.body;
    while (state.clockMs < deadlineMs) {
      this.#enter({ kind: "tick" }, Math.min(deadlineMs - state.clockMs, ELAPSED_MAX_MS));
    }
    const leases = [{ key: lease.key, revision: lease.modRevision }];
    this.#enter({ kind: "lease.expire", leases }, 0);
  }

  async propose(command: Command, options: CallOptions = {}): Promise<Canonical> {
    await this.#reach(options);
    const answer = this.#enter(command, this.#elapsedMs());
    if (this.#lostAnswers > 0) {
      this.#lostAnswers--;
      throw new DenimError("OUTCOME_UNKNOWN", "The change may or may not have been made");
    }
    return valueOf(answer);
  }

  async read(level: "stale" | "linearizable", options: CallOptions = {}): Promise<View> {
    if (level === "linearizable") await this.#reach(options);
    return this.view();
  }

  view(): View {
    return {
      state: this.copy.state,
      position: this.copy.feed.position,
      leaderAgeMs: this.#leaderAgeMs(),
      leaderNode: this.#hasLeader ? "id0" : undefined,
    };
  }

  follow(from: Position | undefined, signal: AbortSignal): AsyncIterable<Feed> {
    return this.copy.feed.follow(from, signal);
  }

  /** Tells followers how things stand, as servers do from time to time. */
  progress(): void {
    this.copy.feed.progress(this.copy.digest, this.#leaderAgeMs());
  }

  onChange(callback: () => void): () => void {
    const listener = () => callback();
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#listeners.clear();
  }

  /** Resolves when there is a leader to talk to, and has had its time. */
  async #reach(options: CallOptions): Promise<void> {
    const { signal, timeoutMs = 10_000 } = options;
    const endMs = this.#clock.monotonicMs() + timeoutMs;
    if (this.delayMs > 0) await sleep(this.#clock, this.delayMs, signal);
    else await Promise.resolve();
    while (!this.#hasLeader || signal?.aborted || this.#stop.signal.aborted) {
      if (signal?.aborted || this.#stop.signal.aborted) {
        throw new DenimError("CANCELLED", "The call was given up");
      }
      if (this.#clock.monotonicMs() >= endMs) {
        throw new DenimError("NO_LEADER", "No server leads the cluster");
      }
      await sleep(this.#clock, Math.min(50, timeoutMs), signal);
    }
  }

  #enter(command: Command, elapsedMs: number): Answer {
    const stamp = { elapsedMs, wallMs: Math.floor(this.#clock.wallMs()) };
    const { revision } = this.copy.state;
    const answer = this.copy.apply(++this.#index, 1, { stamp, command });
    this.commands.push(command);
    if (this.copy.state.revision !== revision) this.#tell();
    return answer;
  }

  #elapsedMs(): number {
    const elapsedMs = Math.floor(this.#clock.monotonicMs() - this.#stampedMs);
    this.#stampedMs += elapsedMs;
    return elapsedMs;
  }

  #leaderAgeMs(): number {
    return this.#hasLeader ? 0 : this.#clock.monotonicMs() - this.#leaderSeenMs;
  }

  #tell(): void {
    queueMicrotask(() => this.#listeners.forEach((listener) => listener()));
  }
}

function valueOf(answer: Answer): Canonical {
  if (!answer.ok) throw DenimError.fromJSON(answer.error);
  return answer.value;
}
