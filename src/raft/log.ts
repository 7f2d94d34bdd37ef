import { assert } from "../base/errors.ts";
import { type Entry, entryBytes, type Place } from "./entry.ts";
import type { SnapshotMeta } from "./message.ts";

/**
 * The retained log, in memory: everything after `start`. Indices only grow in this order:
 * `start ≤ applied ≤ commit ≤ last`, and `stable`, the part that is on disk, may end anywhere from
 * `applied` on.
 */
export class RaftLog {
  #start: Place;
  #entries: Entry[];
  #stable: number;
  #commit: number;
  #applied: number;
  #installing: SnapshotMeta | undefined;

  constructor(start: Place, entries: readonly Entry[], commit: number, applied: number) {
    this.#start = start;
    this.#entries = [...entries];
    this.#stable = start.index + entries.length;
    this.#commit = commit;
    this.#applied = applied;
  }

  get firstIndex(): number {
    return this.#start.index + 1;
  }

  get last(): Place {
    return this.#entries.at(-1) ?? this.#start;
  }

  get commit(): number {
    return this.#commit;
  }

  get applied(): number {
    return this.#applied;
  }

  get stable(): number {
    return this.#stable;
  }

  /** A snapshot that the driver has still to install. */
  get installing(): SnapshotMeta | undefined {
    return this.#installing;
  }

  /** `undefined` for what is not in the log: compacted away, or not there yet. */
  termAt(index: number): number | undefined {
    if (index === this.#start.index) return this.#start.term;
    return this.#entries[index - this.firstIndex]?.term;
  }

  matches(place: Place): boolean {
    return this.termAt(place.index) === place.term;
  }

  /** "At least as up-to-date as ours" (Raft paper, section 5.4.1). */
  isUpToDate(theirs: Place): boolean {
    const ours = this.last;
    return theirs.term > ours.term || (theirs.term === ours.term && theirs.index >= ours.index);
  }

  /** Entries from `from` to `to`, as many as fit into `maxBytes`, but at least one. */
  slice(from: number, to: number, maxBytes: number): Entry[] {
    assert(
      from >= this.firstIndex,
      `entry ${from} is in the log, which starts at ${this.firstIndex}`,
    );
    const wanted = this.#entries.slice(from - this.firstIndex, to + 1 - this.firstIndex);
    let bytes = 0;
    const tooMany = wanted.findIndex((entry, i) =>
      (bytes += entryBytes(entry)) > maxBytes && i > 0
    );
    return tooMany === -1 ? wanted : wanted.slice(0, tooMany);
  }

  /**
   * Puts entries at the end, after removing whatever differs from them. Entries that are there
   * already stay: a late, shorter append must not cut off what followed it (Raft paper, figure 2,
   * AppendEntries 3 and 4).
   */
  append(entries: readonly Entry[]): void {
    const fresh = entries.findIndex((entry) => !this.matches(entry));
    if (fresh === -1) return;
    const from = entries[fresh]!.index;
    assert(from > this.#commit, `entry ${from} is committed and cannot be replaced`);
    assert(from <= this.last.index + 1, `entry ${from} would leave a hole in the log`);
    this.#entries.length = from - this.firstIndex;
    for (const entry of entries.slice(fresh)) this.#entries.push(entry);
    this.#stable = Math.min(this.#stable, from - 1);
  }

  commitTo(index: number): void {
    assert(
      index <= this.last.index,
      `commit ${index} is in the log, which ends at ${this.last.index}`,
    );
    this.#commit = Math.max(this.#commit, index);
  }

  appliedTo(index: number): void {
    assert(index <= this.#commit, `applied ${index} is committed, which is ${this.#commit}`);
    this.#applied = Math.max(this.#applied, index);
  }

  /**
   * What was handed out for writing, up to `place`, is on disk. If the log has changed there while
   * the write was under way, nothing is known to be stable that was not before.
   */
  stableTo(place: Place): void {
    if (place.index > this.#stable && this.matches(place)) this.#stable = place.index;
  }

  unstable(): Entry[] {
    return this.#entries.slice(this.#stable + 1 - this.firstIndex);
  }

  /** Committed entries to apply next; none while a snapshot is to be installed first. */
  unapplied(maxBytes: number): Entry[] {
    if (this.#installing || this.#applied >= this.#commit) return [];
    return this.slice(this.#applied + 1, this.#commit, maxBytes);
  }

  hasUnapplied(): boolean {
    return !this.#installing && this.#applied < this.#commit;
  }

  /** Is any entry from `from` to `to` a change of the configuration? */
  hasChange(from: number, to: number): boolean {
    const within = this.#entries.slice(
      Math.max(0, from - this.firstIndex),
      Math.max(0, to + 1 - this.firstIndex),
    );
    return within.some((entry) => entry.type === "change");
  }

  /**
   * The highest place at or below `index` whose term is not above `term`: no place between can
   * match the other log, so a rejection costs one round trip per term instead of one per entry
   * (Raft paper, end of section 5.3). Term 0 where it is not known any more.
   */
  hint(index: number, term: number): Place {
    for (let i = index; i > 0; i--) {
      const found = this.termAt(i);
      if (found === undefined) return { index: i, term: 0 };
      if (found <= term) return { index: i, term: found };
    }
    return { index: 0, term: 0 };
  }

  /** Replaces the whole log: nothing of it leads to the snapshot's state (hashicorp/raft #697). */
  restore(snapshot: SnapshotMeta): void {
    assert(snapshot.index > this.#commit, "a snapshot only ever moves the log forward");
    this.#start = { index: snapshot.index, term: snapshot.term };
    this.#entries = [];
    this.#stable = snapshot.index;
    this.#commit = snapshot.index;
    this.#installing = snapshot;
  }

  /** The driver has installed the snapshot; a newer one may have come meanwhile (etcd #18055). */
  installed(snapshot: SnapshotMeta): void {
    if (this.#installing?.index === snapshot.index) this.#installing = undefined;
    this.appliedTo(snapshot.index);
  }

  /** Forgets everything up to `index`. */
  compact(index: number): void {
    if (index <= this.#start.index) return;
    assert(
      index <= this.#applied,
      `only what is applied (${this.#applied}) is forgotten: ${index}`,
    );
    const start = { index, term: this.termAt(index)! };
    this.#entries.splice(0, index - this.#start.index);
    this.#start = start;
  }
}
