import type { Canonical } from "../base/canonical.ts";
import { type Cancel, type Clock, every, sleep } from "../base/clock.ts";
import { asDenimError, assert, DenimError, isDenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { CallOptions, Cluster, Feed, Position, View } from "../lease/cluster.ts";
import type { Command } from "../lease/command.ts";
import { nodeByRaftId } from "../lease/state.ts";
import {
  type Change,
  type Message,
  NOBODY,
  Raft,
  type SnapshotOffer,
  type Status,
  SUGGESTED_LIMITS,
} from "../raft/mod.ts";
import type { Copy } from "../store/copy.ts";
import { verifyState } from "../store/load.ts";
import type { Store } from "../store/store.ts";
import { Call, CALL_TIMEOUT_MS, noLeader, WORTH_A_RETRY } from "./call.ts";
import { Observers } from "./observers.ts";
import type { Capture, Peers } from "./peers.ts";
import { Proposals } from "./proposals.ts";
import { Reads } from "./reads.ts";
import { restoredFrom } from "./restore.ts";
import { LOG_LIMITS, type LogLimits, Turns } from "./turn.ts";
import { unknownOutcome, Waiters } from "./waiters.ts";
import { WriteWatch } from "./write-watch.ts";

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
  readonly logLimits?: LogLimits;
  /** The store failed: this server is silent from now on. */
  readonly onFailed: (error: DenimError) => void;
}

const RETRY_MS = 50;
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
  readonly #proposals: Proposals;
  readonly #reads: Reads;
  readonly #watch: WriteWatch;
  readonly #observers = new Observers();
  readonly #periods: Cancel[] = [];
  /** Snapshots that have come whole, by their index, until the core wants them installed. */
  readonly #incoming = new Map<number, Capture>();
  /** Why nothing is done any more: the store failed, or the daemon is stopping. */
  #ended: DenimError | undefined;
  #failed = false;
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
    this.#proposals = new Proposals({ core: this.#core, clock, copy, waiters: this.#waiters });
    this.#watch = new WriteWatch(clock, logger);
    this.#reads = new Reads(this.#core, { clock, random });
    this.#turns = new Turns({
      ...{ core: this.#core, store, copy, peers, clock, logger },
      ...{ waiters: this.#waiters, reads: this.#reads, watch: this.#watch },
      logLimits: options.logLimits ?? LOG_LIMITS,
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
    return this.#ended === undefined && this.#core.role === "leader";
  }

  status(): Status {
    return this.#core.status();
  }

  async propose(command: Command, options: CallOptions = {}): Promise<Canonical> {
    const call = new Call(this.#options.clock, options);
    for (;;) {
      try {
        return await this.#proposeOnce(command, call);
      } catch (error) {
        if (!isDenimError(error, ...WORTH_A_RETRY)) throw error;
        if (call.isOver) throw call.overWith(error.code === "OVERLOADED" ? error : noLeader());
      }
      await sleep(this.#options.clock, RETRY_MS, options.signal);
    }
  }

  /** Only where this server leads: for commands that another server passes on. */
  async proposeHere(command: Command, timeoutMs = CALL_TIMEOUT_MS): Promise<Canonical> {
    return await this.#append(command, new Call(this.#options.clock, { timeoutMs }));
  }

  /**
   * Changes the Raft group by one step; resolves when it is applied here.
   *
   * @throws `NOT_LEADER`, also until this leader has committed an entry of its own term (Ongaro,
   * raft-dev 2015); `OVERLOADED` while another change is under way
   */
  async changeGroup(change: Change): Promise<void> {
    this.#refuseEnded();
    const done = this.#proposals.change(change, new Call(this.#options.clock));
    this.#wake?.();
    await done;
  }

  transferLeadership(to: number): void {
    this.#poke(() => this.#core.transferLeadership(to));
  }

  async read(level: "stale" | "linearizable", options: CallOptions = {}): Promise<View> {
    if (level === "stale") return this.view();
    const call = new Call(this.#options.clock, options);
    while (!call.isOver) {
      this.#refuseEnded();
      const confirmed = this.#reads.confirm(call);
      this.#wake?.();
      if (await confirmed) return this.view();
      await sleep(this.#options.clock, Math.min(RETRY_MS, call.leftMs), options.signal);
    }
    throw call.overWith(noLeader());
  }

  view(): View {
    const { copy } = this.#options;
    const leader = nodeByRaftId(copy.state, this.#core.leader);
    return {
      state: copy.state,
      position: this.#position(),
      leaderAgeMs: this.#leaderAgeMs(),
      leaderNode: leader?.key,
    };
  }

  follow(from: Position | undefined, signal: AbortSignal): AsyncIterable<Feed> {
    return this.#options.copy.feed.follow(from, signal);
  }

  onChange(callback: () => void): () => void {
    return this.#observers.add(callback);
  }

  /**
   * Messages of other servers, whose ids the transport has proved. One to another id is late: this
   * server had that id before its store was set aside.
   */
  receive(messages: readonly Message[]): void {
    const isForUs = ({ from, to }: Message) => to === this.raftId && from !== this.raftId;
    const ours = messages.filter(isForUs);
    this.#poke(() => ours.forEach((message) => this.#core.step(message)));
  }

  /**
   * A whole snapshot has come; its offer now goes through Raft.
   *
   * @throws `STORE_DAMAGED` where the records are not those that the snapshot speaks of
   */
  receiveSnapshot(offer: SnapshotOffer, capture: Capture): void {
    const { index } = offer.snapshot;
    assert(capture.applied.index === index, `a snapshot of ${index} goes with its offer`);
    verifyState(capture.applied, capture.records);
    this.#incoming.set(index, capture);
    this.receive([offer]);
  }

  reportUnreachable(raftId: number): void {
    this.#poke(() => this.#core.reportUnreachable(raftId));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end(new DenimError("CANCELLED", "This server is stopping"));
    await Promise.race([this.#running, this.#watch.hung]);
    if (!this.#failed && this.#options.copy.dirty) await this.#turns.flush();
    this.#waiters.failAll(unknownOutcome("the daemon is stopping"));
  }

  /** One turn after the other, for as long as the core has work; then sleep until poked. */
  async #run(): Promise<void> {
    try {
      while (this.#ended === undefined) {
        this.#proposals.place();
        this.#reads.attempt();
        const busy = this.#core.hasReady();
        if (busy) await this.#turns.take();
        if (this.#flushDue && this.#options.copy.dirty) await this.#turns.flush();
        this.#flushDue = false;
        this.#afterTurn();
        if (busy || this.#hasWork() || this.#ended !== undefined) continue;
        this.#incoming.clear();
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } catch (error) {
      const failure = asDenimError(error);
      this.#fail(failure);
      if (failure.code === "STORE_DAMAGED") await this.#options.store.condemn(failure);
    }
  }

  #hasWork(): boolean {
    return this.#core.hasReady() || this.#proposals.waiting || this.#reads.waiting;
  }

  #afterTurn(): void {
    this.#proposals.look();
    const { confirmedMs } = this.#reads;
    const { leader } = this.#core;
    this.#observers.look({ position: this.#position(), leader, confirmedMs });
  }

  #end(reason: DenimError): void {
    this.#ended ??= reason;
    this.#periods.forEach((cancel) => cancel());
    this.#proposals.refuse(this.#ended);
    this.#reads.giveUp();
    this.#wake?.();
  }

  /**
   * A first failed write is the last: what the disk has is no longer known (cockroach #37102). The
   * same goes for anything else that may not happen: a server in doubt is silent.
   */
  #fail(error: DenimError): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#turns.halt();
    this.#end(error);
    this.#waiters.failAll(unknownOutcome(error.message));
    const { message, why = message, fix } = error;
    this.#options.logger.error("the replica has stopped", { why, fix });
    this.#options.onFailed(error);
  }

  /** One tick, also after a pause: a burst would make a process campaign as it wakes. */
  #tick(): void {
    this.#poke(() => {
      this.#watch.check();
      this.#core.tick();
    });
    if (!this.leads) return;
    const due = this.#proposals.due();
    if (due !== undefined) this.proposeHere(due).catch(() => {});
  }

  #poke<T>(action: () => T): T | undefined {
    if (this.#ended !== undefined) return undefined;
    try {
      return action();
    } catch (error) {
      this.#fail(asDenimError(error));
      return undefined;
    } finally {
      this.#wake?.();
    }
  }

  async #proposeOnce(command: Command, call: Call): Promise<Canonical> {
    this.#refuseEnded();
    const { leader, role } = this.#core;
    if (role === "leader") return await this.#append(command, call);
    if (leader === NOBODY) throw noLeader();
    try {
      return await call.answer(this.#options.peers.forward(leader, command, call.leftMs));
    } catch (error) {
      if (!isDenimError(error, "CONNECTION_LOST", "TIMEOUT")) throw error;
      throw unknownOutcome("the server that leads was lost while it had the command");
    }
  }

  #append(command: Command, call: Call): Promise<Canonical> {
    this.#refuseEnded();
    const answer = this.#proposals.command(command, call);
    this.#wake?.();
    return answer;
  }

  #takeIncoming(index: number): Capture {
    const incoming = this.#incoming.get(index);
    assert(incoming !== undefined, `the snapshot of ${index} is here before its offer`);
    this.#incoming.delete(index);
    return incoming;
  }

  #position(): Position {
    const { epoch, state } = this.#options.copy;
    return { epoch, revision: state.revision };
  }

  #leaderAgeMs(): number | undefined {
    const { confirmedMs } = this.#reads;
    return confirmedMs === undefined ? undefined : this.#options.clock.monotonicMs() - confirmedMs;
  }

  #refuseEnded(): void {
    if (this.#ended !== undefined) throw this.#ended;
  }
}
