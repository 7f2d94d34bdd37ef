import { assert } from "../base/errors.ts";
import { type InflightLimits, Inflights } from "./inflights.ts";

/**
 * `probe`: it is not known where this follower's log ends; one append at a time finds out.
 * `replicate`: it is known; appends are sent ahead of their acknowledgements.
 * `snapshot`: what it needs is gone from the log; nothing is sent until it has a snapshot.
 */
export type ProgressState = "probe" | "replicate" | "snapshot";

/** One follower (or the leader itself) as plain data. */
export interface ProgressStatus {
  readonly id: number;
  readonly state: ProgressState;
  readonly match: number;
  readonly next: number;
  readonly learner: boolean;
  readonly paused: boolean;
  /** The index of the snapshot on its way; 0 for none. */
  readonly pendingSnapshot: number;
  /** Was heard of since check-quorum last looked, which may have been a moment ago. */
  readonly active: boolean;
  /** Ticks since it was heard of by this leader; `Infinity` where it never was. */
  readonly silentTicks: number;
  readonly inflightMessages: number;
  readonly inflightBytes: number;
  readonly inflightFull: boolean;
}

export interface ProgressStart {
  readonly next: number;
  readonly match?: number;
  readonly learner: boolean;
  readonly active?: boolean;
  readonly limits: InflightLimits;
}

/** What a leader believes about one follower's log (Raft paper, figure 2: nextIndex, matchIndex). */
export class Progress {
  learner: boolean;
  active: boolean;
  #silentTicks = Infinity;
  #state: ProgressState = "probe";
  #match: number;
  #next: number;
  /** A probe, or an append into a full window, is out: wait for an answer or a heartbeat's. */
  #flowPaused = false;
  #pendingSnapshot = 0;
  /** The highest commit index that was sent and may have arrived. */
  #sentCommit = 0;
  readonly #inflights: Inflights;

  constructor(start: ProgressStart) {
    this.learner = start.learner;
    this.active = start.active ?? false;
    this.#match = start.match ?? 0;
    this.#next = start.next;
    this.#inflights = new Inflights(start.limits);
  }

  get state(): ProgressState {
    return this.#state;
  }

  /** The log is known to match up to here. */
  get match(): number {
    return this.#match;
  }

  /** The next entry to send. */
  get next(): number {
    return this.#next;
  }

  get paused(): boolean {
    if (this.#state === "snapshot") return true;
    return this.#flowPaused && (this.#state === "probe" || this.#inflights.full);
  }

  /** A full window lets only empty appends through; their answers may free it. */
  get takesEntries(): boolean {
    return this.#state !== "replicate" || !this.#inflights.full;
  }

  /** A sign of life. */
  heard(): void {
    this.active = true;
    this.#silentTicks = 0;
  }

  tick(): void {
    this.#silentTicks++;
  }

  becomeProbe(): void {
    const afterSnapshot = this.#state === "snapshot" ? this.#pendingSnapshot + 1 : 0;
    this.#enter("probe");
    this.#moveNext(Math.max(this.#match + 1, afterSnapshot));
  }

  becomeReplicate(): void {
    this.#enter("replicate");
    this.#next = this.#match + 1;
  }

  becomeSnapshot(index: number): void {
    this.#enter("snapshot");
    this.#pendingSnapshot = index;
    this.#next = index + 1;
    this.#sentCommit = index;
  }

  /** A snapshot did not arrive: probe from what is known, not from after the snapshot. */
  forgetSnapshot(): void {
    this.#pendingSnapshot = 0;
  }

  /** The next append waits for an answer, or for the next heartbeat's. */
  pause(): void {
    this.#flowPaused = true;
  }

  resume(): void {
    this.#flowPaused = false;
  }

  sentAppend(entries: number, bytes: number, commit: number): void {
    assert(this.#state !== "snapshot", "nothing is appended while a snapshot is on its way");
    if (this.#state === "replicate") {
      if (entries > 0) {
        this.#next += entries;
        this.#inflights.add(this.#next - 1, bytes);
      }
      this.#flowPaused = this.#inflights.full;
    } else if (entries > 0) {
      this.#flowPaused = true;
    }
    this.#sentCommit = commit;
  }

  sentHeartbeat(commit: number): void {
    this.#sentCommit = commit;
  }

  /** Is there a point in sending `commit`? Not if it is known there, or covers nothing there. */
  needsCommit(commit: number): boolean {
    return commit > this.#sentCommit && this.#sentCommit < this.#next - 1;
  }

  /** An acknowledgement. False when it says nothing new: repeated or late. */
  acknowledged(index: number): boolean {
    if (index <= this.#match) return false;
    this.#match = index;
    this.#next = Math.max(this.#next, index + 1);
    this.#flowPaused = false;
    return true;
  }

  freeTo(index: number): void {
    this.#inflights.freeTo(index);
  }

  /** A rejection at `index`. False when it is stale and must not move anything. */
  rejected(index: number, hint: number): boolean {
    if (this.#state === "replicate") {
      if (index <= this.#match) return false;
      this.#moveNext(this.#match + 1);
      return true;
    }
    if (index !== this.#next - 1) return false;
    this.#moveNext(Math.max(Math.min(index, hint + 1), this.#match + 1));
    this.#flowPaused = false;
    return true;
  }

  status(id: number): ProgressStatus {
    return {
      id,
      state: this.#state,
      match: this.#match,
      next: this.#next,
      learner: this.learner,
      paused: this.paused,
      pendingSnapshot: this.#pendingSnapshot,
      active: this.active,
      silentTicks: this.#silentTicks,
      inflightMessages: this.#inflights.count,
      inflightBytes: this.#inflights.bytes,
      inflightFull: this.#inflights.full,
    };
  }

  #enter(state: ProgressState): void {
    this.#state = state;
    this.#flowPaused = false;
    this.#pendingSnapshot = 0;
    this.#inflights.clear();
  }

  /** Going back also forgets a commit index that went with what was probably lost. */
  #moveNext(next: number): void {
    this.#next = next;
    this.#sentCommit = Math.min(this.#sentCommit, next - 1);
  }
}
