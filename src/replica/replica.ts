import type { Canonical } from "../base/canonical.ts";
import { type Cancel, type Clock, every, sleep } from "../base/clock.ts";
import { asDenimError, assert, DenimError, isDenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { CallOptions, Cluster, Feed, Position, View } from "../lease/cluster.ts";
import { type Command, encodeEntry } from "../lease/command.ts";
import { nodeByRaftId } from "../lease/state.ts";
import { type Change, type Message, Raft, type Status, SUGGESTED_LIMITS } from "../raft/mod.ts";
import type { Copy } from "../store/copy.ts";
import type { Store } from "../store/store.ts";
import { Leading } from "./leading.ts";
import type { Capture, Peers } from "./peers.ts";
import { Reads } from "./reads.ts";
import { restoredFrom } from "./restore.ts";
import { Turns } from "./turn.ts";
import { unknownOutcome, Waiters } from "./waiters.ts";

/** How fast a group notices and decides. One tick is the unit of everything else. */
export const PROFILES = {
  lan: { tickMs: 100, heartbeatTicks: 1, electionTicks: 5 },
  wan: { tickMs: 200, heartbeatTicks: 1, electionTicks: 5 },
} as const;

export interface ReplicaOptions {
  readonly raftId: number;
  readonly profile: (typeof PROFILES)[keyof typeof PROFILES];
  readonly store: Store;
  readonly copy: Copy;
  readonly peers: Peers;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The store failed: this server is silent from now on. */
  readonly onFailed: (error: DenimError) => void;
}

const CALL_TIMEOUT_MS = 10_000;
const RETRY_MS = 50;
const READ_ATTEMPT_MS = 500;
/** The state reaches the disk within this, even if nothing else has to be written. */
const FLUSH_MS = 1_000;
const CONFIRM_MS = 1_000;
const PROGRESS_MS = 2_000;

/** A server's driver of the cluster port: its own part in Raft, over its own store. */
export class Replica implements Cluster {
  readonly #options: ReplicaOptions;
  readonly #core: Raft;
  readonly #turns: Turns;
  readonly #waiters = new Waiters();
  readonly #reads: Reads;
  readonly #periods: Cancel[] = [];
  readonly #stop = new AbortController();
  readonly #listeners = new Set<() => void>();
  #leading: Leading | undefined;
  #incoming: Capture | undefined;
  #failed: DenimError | undefined;
  #flushDue = false;
  #wake: (() => void) | undefined;
  #running: Promise<void>;

  constructor(options: ReplicaOptions) {
    const { clock, copy, logger, peers, profile, random, store } = options;
    this.#options = options;
    this.#core = new Raft({
      id: options.raftId,
      electionTicks: profile.electionTicks,
      heartbeatTicks: profile.heartbeatTicks,
      ...SUGGESTED_LIMITS,
      preVote: true,
      checkQuorum: true,
      stepDownOnRemoval: true,
      random,
      restored: restoredFrom(store.loaded, copy),
    });
    this.#reads = new Reads(this.#core, { clock, random });
    this.#turns = new Turns({
      ...{ core: this.#core, store, copy, peers, logger },
      ...{ waiters: this.#waiters, reads: this.#reads },
      takeIncoming: (meta) => this.#takeIncoming(meta.index),
    });
    this.#periods.push(
      every(clock, profile.tickMs, () => this.#tick()),
      every(clock, FLUSH_MS, () => this.#poke(() => (this.#flushDue = copy.dirty))),
      every(clock, CONFIRM_MS, () => this.#poke(() => this.#reads.ask())),
      every(clock, PROGRESS_MS, () => copy.feed.progress(copy.digest, this.#leaderAgeMs())),
    );
    // A group of one need not wait for silence.
    const { voters } = this.#core.configuration;
    if (voters.length === 1 && voters[0] === options.raftId) this.#core.campaign();
    this.#running = this.#run();
  }

  get raftId(): number {
    return this.#options.raftId;
  }

  get leads(): boolean {
    return this.#failed === undefined && this.#core.role === "leader";
  }

  status(): Status {
    return this.#core.status();
  }

  async propose(command: Command, options: CallOptions = {}): Promise<Canonical> {
    const deadline = this.#deadline(options);
    for (;;) {
      try {
        return await this.#proposeOnce(command, deadline.leftMs());
      } catch (error) {
        const again = isDenimError(error, "NOT_LEADER", "NO_LEADER", "PEER_UNREACHABLE");
        if (!again || deadline.leftMs() <= 0 || options.signal?.aborted) {
          throw isDenimError(error, "NOT_LEADER", "PEER_UNREACHABLE") ? noLeader() : error;
        }
      }
      await sleep(this.#options.clock, RETRY_MS, options.signal);
    }
  }

  /** Only where this server leads: for commands that another server passes on. */
  async proposeHere(command: Command, timeoutMs = CALL_TIMEOUT_MS): Promise<Canonical> {
    this.#refuseFailed();
    if (this.#core.role !== "leader") {
      throw new DenimError("NOT_LEADER", "This server does not lead");
    }
    this.#leading ??= new Leading(this.#options.clock);
    const result = this.#core.propose([encodeEntry(this.#leading.stamp(), command)]);
    return await this.#accepted(result, timeoutMs);
  }

  /**
   * Changes the Raft group by one step; resolves when it is applied here.
   *
   * @throws `NOT_LEADER`, also until this leader has committed an entry of its own term (Ongaro,
   * raft-dev 2015); `OVERLOADED` while another change is under way
   */
  async changeGroup(change: Change): Promise<void> {
    this.#refuseFailed();
    const core = this.#core;
    if (core.role !== "leader" || core.termAt(core.commit) !== core.term) {
      throw new DenimError("NOT_LEADER", "This server does not lead, or not yet");
    }
    await this.#accepted(core.proposeChange(change), CALL_TIMEOUT_MS);
  }

  transferLeadership(to: number): void {
    this.#poke(() => this.#core.transferLeadership(to));
  }

  async read(level: "stale" | "linearizable", options: CallOptions = {}): Promise<View> {
    if (level === "stale") return this.view();
    const deadline = this.#deadline(options);
    while (deadline.leftMs() > 0 && !options.signal?.aborted) {
      this.#refuseFailed();
      if (await this.#askOnce(Math.min(READ_ATTEMPT_MS, deadline.leftMs()))) return this.view();
      await sleep(this.#options.clock, RETRY_MS, options.signal);
    }
    throw noLeader();
  }

  view(): View {
    const { copy } = this.#options;
    const leader = nodeByRaftId(copy.state, this.#core.leader);
    return {
      state: copy.state,
      position: { epoch: copy.epoch, revision: copy.state.revision },
      leaderAgeMs: this.#leaderAgeMs(),
      leaderNode: leader?.key,
    };
  }

  follow(from: Position | undefined, signal: AbortSignal): AsyncIterable<Feed> {
    return this.#options.copy.feed.follow(from, signal);
  }

  onChange(callback: () => void): () => void {
    this.#listeners.add(callback);
    return () => this.#listeners.delete(callback);
  }

  /** Messages of other servers, whose ids the transport has proved. */
  receive(messages: readonly Message[]): void {
    this.#poke(() => messages.forEach((message) => this.#core.step(message)));
  }

  /** A whole snapshot has come; its offer now goes through Raft. */
  receiveSnapshot(offer: Extract<Message, { kind: "snapshot" }>, capture: Capture): void {
    this.#incoming = capture;
    this.receive([offer]);
  }

  reportUnreachable(raftId: number): void {
    this.#poke(() => this.#core.reportUnreachable(raftId));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#periods.forEach((cancel) => cancel());
    this.#wake?.();
    await this.#running;
    if (this.#failed === undefined && this.#options.copy.dirty) await this.#turns.flush();
    this.#waiters.failAll(unknownOutcome("the daemon is stopping"));
  }

  /** One turn after the other, for as long as the core has work; then sleep until poked. */
  async #run(): Promise<void> {
    const { signal } = this.#stop;
    try {
      while (!signal.aborted) {
        let worked = false;
        while (this.#core.hasReady() && !signal.aborted) {
          await this.#turns.take();
          this.#afterTurn();
          worked = true;
        }
        if (this.#flushDue && this.#options.copy.dirty) await this.#turns.flush();
        this.#flushDue = false;
        if (worked) this.#listeners.forEach((listener) => listener());
        if (this.#core.hasReady() || signal.aborted) continue;
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } catch (error) {
      this.#fail(asDenimError(error));
    }
  }

  #afterTurn(): void {
    if (this.#core.role === "leader") this.#leading ??= new Leading(this.#options.clock);
    else this.#leading = undefined;
  }

  /** A first failed write is the last: what the disk has is no longer known (cockroach #37102). */
  #fail(error: DenimError): void {
    this.#failed = error;
    this.#periods.forEach((cancel) => cancel());
    this.#waiters.failAll(unknownOutcome(error.message));
    this.#options.logger.error("the replica has stopped", { why: error.why ?? error.message });
    this.#options.onFailed(error);
  }

  /** One tick, also after a pause: a burst would make a process campaign as it wakes. */
  #tick(): void {
    this.#poke(() => this.#core.tick());
    if (!this.leads || this.#leading === undefined) return;
    const due = this.#leading.due(this.#options.copy.state);
    if (due !== undefined) this.proposeHere(due).catch(() => {});
  }

  #poke(action: () => void): void {
    if (this.#failed !== undefined || this.#stop.signal.aborted) return;
    action();
    this.#wake?.();
  }

  async #proposeOnce(command: Command, timeoutMs: number): Promise<Canonical> {
    this.#refuseFailed();
    if (this.#core.role === "leader") return await this.proposeHere(command, timeoutMs);
    if (this.#core.leader === 0) throw noLeader();
    return await this.#options.peers.forward(this.#core.leader, command, timeoutMs);
  }

  async #accepted(result: ReturnType<Raft["propose"]>, timeoutMs: number): Promise<Canonical> {
    switch (result.kind) {
      case "accepted": {
        this.#wake?.();
        const answer = this.#waiters.wait(result.firstIndex, result.term);
        return await this.#within(timeoutMs, answer);
      }
      case "overloaded":
        throw new DenimError("OVERLOADED", "Too many changes are under way", {
          fix: "try again in a moment",
        });
      case "change-pending":
        throw new DenimError("OVERLOADED", "Another change of the group is under way");
      case "no-leader":
      case "transferring":
        throw new DenimError("NOT_LEADER", "This server does not lead any more");
      case "forwarded":
        assert(false, "the core does not forward");
    }
  }

  async #within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
    let cancel: Cancel | undefined;
    const late = new Promise<never>((_, reject) => {
      cancel = this.#options.clock.after(timeoutMs, () => {
        reject(unknownOutcome("it was not confirmed in time"));
      });
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      cancel?.();
    }
  }

  async #askOnce(timeoutMs: number): Promise<boolean> {
    let answered = false;
    const stop = new AbortController();
    this.#poke(() =>
      this.#reads.ask(() => {
        answered = true;
        stop.abort();
      })
    );
    await sleep(this.#options.clock, timeoutMs, stop.signal);
    return answered;
  }

  #takeIncoming(index: number): Capture {
    const incoming = this.#incoming;
    assert(incoming?.applied.index === index, `the snapshot of ${index} is here before its offer`);
    this.#incoming = undefined;
    return incoming;
  }

  #leaderAgeMs(): number | undefined {
    const confirmedMs = this.#reads.confirmedMs;
    return confirmedMs === undefined ? undefined : this.#options.clock.monotonicMs() - confirmedMs;
  }

  #refuseFailed(): void {
    if (this.#failed !== undefined) throw this.#failed;
  }

  #deadline({ timeoutMs = CALL_TIMEOUT_MS }: CallOptions): { leftMs(): number } {
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + timeoutMs;
    return { leftMs: () => endMs - clock.monotonicMs() };
  }
}

function noLeader(): DenimError {
  return new DenimError("NO_LEADER", "No server leads the cluster", {
    why: "fewer than half of the voters can reach each other; routes stay as they are",
    fix: "start the missing servers; denim status shows which",
  });
}
