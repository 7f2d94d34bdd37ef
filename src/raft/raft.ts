import { assert } from "../base/errors.ts";
import type { Change, Configuration } from "./configuration.ts";
import { type Core, createCore, type Role } from "./core.ts";
import { campaign, type CampaignResult, tickElection } from "./election.ts";
import {
  propose,
  type ProposeResult,
  tickLeader,
  transferLeadership,
  type TransferResult,
} from "./leader.ts";
import { applyChange } from "./membership.ts";
import { isResponse, type Message } from "./message.ts";
import { assertOptions, type RaftOptions } from "./options.ts";
import { readIndex, type ReadResult } from "./reads.ts";
import {
  hardStateOf,
  hasReady,
  type Ready,
  settle,
  softStateOf,
  takeReady,
  type Told,
} from "./ready.ts";
import { broadcastHeartbeat, reportSnapshot, reportUnreachable } from "./replication.ts";
import { assertRestored } from "./restored.ts";
import { type Status, statusOf } from "./status.ts";
import { stepMessage, type StepResult } from "./step.ts";

/**
 * One server's part in the consensus, as a pure and synchronous machine: it has no clock, no disk
 * and no network. A driver tells it what happened (`tick`, `step`, `propose` …) and does what
 * {@link Ready} asks for. The protocol is that of the Raft paper and thesis in the shape of etcd's
 * raft.
 */
export class Raft {
  readonly #core: Core;
  #told: Told;
  /** The Ready that the driver is busy with, and what this server tells itself after it. */
  #outstanding: { readonly ready: Ready; readonly ownMessages: readonly Message[] } | undefined;

  constructor(options: RaftOptions) {
    assertOptions(options);
    assertRestored(options.restored);
    this.#core = createCore(options);
    this.#told = { softState: softStateOf(this.#core), hardState: hardStateOf(this.#core) };
  }

  get id(): number {
    return this.#core.id;
  }

  get role(): Role {
    return this.#core.role;
  }

  /** Who leads, as far as this server knows; `NOBODY` (0) where it does not. */
  get leader(): number {
    return this.#core.leader;
  }

  get term(): number {
    return this.#core.term;
  }

  get commit(): number {
    return this.#core.log.commit;
  }

  get applied(): number {
    return this.#core.log.applied;
  }

  get firstIndex(): number {
    return this.#core.log.firstIndex;
  }

  get lastIndex(): number {
    return this.#core.log.last.index;
  }

  get configuration(): Configuration {
    return this.#core.configuration;
  }

  /** `undefined` for what is not in the retained log. The place before it still has a term. */
  termAt(index: number): number | undefined {
    return this.#core.log.termAt(index);
  }

  status(): Status {
    return statusOf(this.#core);
  }

  /** Time passes. What a tick is worth is the driver's business; a late one is one, not several. */
  tick(): void {
    if (this.#core.role === "leader") tickLeader(this.#core);
    else tickElection(this.#core);
  }

  /** A message has come. Its sender is who the transport says it is. */
  step(message: Message): StepResult {
    assert(message.to === this.id, `a message for ${message.to} came to ${this.id}`);
    assert(message.from !== this.id, "nobody sends to itself over a network");
    if (isResponse(message.kind) && !this.#core.progress.has(message.from)) return "unknown-peer";
    return stepMessage(this.#core, message);
  }

  /** Puts data into the log, one entry each. Accepted is not committed. */
  propose(datas: readonly string[]): ProposeResult {
    assert(datas.length > 0, "a proposal has data");
    return propose(this.#core, datas.map((data) => ({ type: "normal", data })));
  }

  /**
   * Puts a change of the configuration into the log. Two guards are the driver's: a leader first
   * commits an entry of its own term (Ongaro, raft-dev 2015), and hands over before it removes
   * itself.
   */
  proposeChange(change: Change): ProposeResult {
    return propose(this.#core, [{ type: "change", data: JSON.stringify(change) }]);
  }

  /** To be called for each committed change entry when it is applied, before {@link advance}. */
  applyChange(change: Change): Configuration {
    return applyChange(this.#core, change);
  }

  /**
   * Asks for an index that a read must wait for to see everything committed before now. The
   * answer comes as a {@link ReadState} with this `context`, which must be a new one for every
   * attempt (etcd #20418); without one after some time, ask again.
   */
  readIndex(context: string): ReadResult {
    return readIndex(this.#core, context);
  }

  transferLeadership(to: number): TransferResult {
    return transferLeadership(this.#core, to);
  }

  /** Starts an election now, as if nobody had been heard for long enough. */
  campaign(): CampaignResult {
    return campaign(this.#core);
  }

  /** Messages to `id` were lost: go back to asking where its log ends. */
  reportUnreachable(id: number): void {
    reportUnreachable(this.#core, id);
  }

  /** The snapshot for `id` was handed over, or was not. */
  reportSnapshot(id: number, ok: boolean): void {
    reportSnapshot(this.#core, id, ok);
  }

  /** False while a Ready is outstanding: one write at a time (Raft thesis, section 10.2.2). */
  hasReady(): boolean {
    return this.#outstanding === undefined && hasReady(this.#core, this.#told);
  }

  ready(): Ready {
    assert(this.#outstanding === undefined, "the last Ready is done before the next is asked for");
    if (this.#core.reads.due) broadcastHeartbeat(this.#core);
    this.#outstanding = takeReady(this.#core, this.#told);
    this.#told = { softState: softStateOf(this.#core), hardState: hardStateOf(this.#core) };
    return this.#outstanding.ready;
  }

  /** The outstanding Ready is persisted, sent and applied. */
  advance(): void {
    assert(this.#outstanding !== undefined, "there is a Ready to be done with");
    const { ready, ownMessages } = this.#outstanding;
    this.#outstanding = undefined;
    for (const message of ownMessages) stepMessage(this.#core, message);
    settle(this.#core, ready);
  }

  /** Forgets entries up to `index`, which must be applied. */
  compact(index: number): void {
    this.#core.log.compact(index);
  }

  /**
   * Replaces the drawn election timeout until the next change of role or term draws another: for
   * scripts and simulations, which decide who is first.
   */
  setElectionTimeout(ticks: number): void {
    assert(ticks > 0, "a timeout is at least one tick");
    this.#core.electionTimeoutTicks = ticks;
  }
}
