import { apply, applyGroup } from "../lease/apply.ts";
import type { Event } from "../lease/cluster.ts";
import type { Answer, Command, Stamp } from "../lease/command.ts";
import {
  type Epoch,
  equalEpoch,
  isRevisioned,
  type StateChange,
  type StateRecord,
} from "../lease/records.ts";
import { State, theCluster } from "../lease/state.ts";
import type { Configuration } from "../raft/mod.ts";
import { type Checkpoint, compare, NO_CHECKPOINT } from "./checkpoint.ts";
import { Digest } from "./digest.ts";
import { FeedHistory, HISTORY_ENTRIES } from "./feed.ts";
import type { AppliedRecord } from "./load.ts";

export interface Stamped {
  readonly stamp: Stamp;
  readonly command: Command;
}

/** Before a cluster has a name, its history is nobody's. */
const NO_EPOCH: Epoch = { n: 0, random: "" };

/**
 * This node's copy of the state: the records in memory, their digests, who follows them, and what
 * of it is not on disk yet. A server's copy follows its log, an agent's a server's feed.
 */
export class Copy {
  #state: State;
  #revisioned: Digest;
  #clock: Digest;
  #index: number;
  #term: number;
  #checkpoint = NO_CHECKPOINT;
  readonly #unwritten = new Map<string, StateChange>();
  #dirty = false;
  readonly feed: FeedHistory;

  constructor(
    applied: AppliedRecord | undefined,
    records: readonly StateRecord[],
    historyEntries = HISTORY_ENTRIES,
  ) {
    const { revision = 0, clockMs = 0, index = 0, term = 0 } = applied ?? {};
    this.#state = State.restore(records, { revision, clockMs });
    this.#revisioned = Digest.of(this.#state.records("revisioned"));
    this.#clock = Digest.of(this.#state.records("clock"));
    this.#index = index;
    this.#term = term;
    this.feed = new FeedHistory({
      records: () => [...this.#state.records("revisioned")],
      position: { epoch: this.epoch, revision },
      historyEntries,
    });
  }

  get state(): State {
    return this.#state;
  }

  get index(): number {
    return this.#index;
  }

  get term(): number {
    return this.#term;
  }

  get digest(): string {
    return this.#revisioned.text;
  }

  get epoch(): Epoch {
    return theCluster(this.#state)?.epoch ?? NO_EPOCH;
  }

  /** At the last check entry. */
  get checkpoint(): Checkpoint {
    return this.#checkpoint;
  }

  /** A committed command takes effect. @throws `STORE_DAMAGED` where a check shows a difference */
  apply(index: number, term: number, { stamp, command }: Stamped): Answer {
    const { answer, changes } = apply(this.#state, index, stamp, command);
    this.#follow(index, term, changes);
    if (command.kind === "check") {
      compare(this.#checkpoint, command);
      this.#checkpoint = { index, digest: this.digest, clockDigest: this.#clock.text };
    }
    return answer;
  }

  /** A committed change of the Raft group takes effect. */
  applyGroup(index: number, term: number, group: Configuration): void {
    this.#follow(index, term, applyGroup(this.#state, index, group));
  }

  /** A committed entry that says nothing. */
  pass(index: number, term: number): void {
    this.#follow(index, term, []);
  }

  /** What another copy's followers were told, at one revision. */
  take(revision: number, events: readonly Event[]): void {
    // One by one: what has piled up may speak of the same record more than once.
    const changes = events.map(({ before, after }): StateChange => {
      const { table, key } = (after ?? before)!;
      const change = { table, key, before: this.#state.get(table, key), after };
      this.#state.commit(revision, [change], this.#state.clockMs);
      return change;
    });
    this.#follow(revision, 0, changes);
  }

  #follow(index: number, term: number, changes: readonly StateChange[]): void {
    this.#index = index;
    this.#term = term;
    this.#dirty = true;
    const events: Event[] = [];
    for (const change of changes) {
      const revisioned = isRevisioned(change.table);
      (revisioned ? this.#revisioned : this.#clock).follow([change]);
      this.#unwritten.set(`${change.table}/${change.key}`, change);
      if (revisioned) events.push({ before: change.before, after: change.after });
    }
    if (events.length === 0) return;
    if (equalEpoch(this.epoch, this.feed.position.epoch)) this.feed.publish(index, events);
    else this.feed.reset({ epoch: this.epoch, revision: index });
  }

  /** Another state takes this one's place, whole. */
  replace(applied: AppliedRecord, records: readonly StateRecord[]): void {
    this.#state = State.restore(records, applied);
    this.#revisioned = Digest.of(this.#state.records("revisioned"));
    this.#clock = Digest.of(this.#state.records("clock"));
    this.#index = applied.index;
    this.#term = applied.term;
    this.#checkpoint = NO_CHECKPOINT;
    this.#unwritten.clear();
    this.#dirty = false;
    this.feed.reset({ epoch: this.epoch, revision: applied.revision });
  }

  /** True while the disk does not have everything. */
  get dirty(): boolean {
    return this.#dirty;
  }

  /** What the disk lacks; it counts as written from now on. */
  takeUnwritten(): { changes: readonly StateChange[]; applied: AppliedRecord } {
    const changes = [...this.#unwritten.values()];
    this.#unwritten.clear();
    this.#dirty = false;
    return { changes, applied: this.applied() };
  }

  applied(): AppliedRecord {
    return {
      index: this.#index,
      term: this.#term,
      revision: this.#state.revision,
      clockMs: this.#state.clockMs,
      records: this.#revisioned.count,
      digest: this.#revisioned.text,
      clockRecords: this.#clock.count,
      clockDigest: this.#clock.text,
    };
  }

  /** All records of both sections, frozen by being immutable. */
  records(): StateRecord[] {
    return [...this.#state.records("revisioned"), ...this.#state.records("clock")];
  }
}
