import { majorityValue } from "./quorum.ts";

export interface Read {
  /** Who asked: this server, or a follower on behalf of its own client. */
  readonly from: number;
  readonly context: string;
}

export interface WaitingRead extends Read {
  /** The commit index when the read arrived: what it must see. */
  readonly index: number;
  readonly position: number;
}

/** Reads under way at a leader; above this it answers `overloaded`. */
export const READS_MAX = 16_384;

/**
 * Reads that wait for proof that their leader still leads (Raft thesis, section 6.4). Each gets
 * the next *position* of this leadership; heartbeats carry the newest one and their answers echo
 * it, so an answer confirms exactly the reads that were there when its heartbeat left. Nothing
 * depends on what the client called its request: identifiers that were used again across a change
 * of leader confirmed stale reads in etcd (#20418).
 */
export class ReadQueue {
  #newest = 0;
  readonly #held: Read[] = [];
  #waiting: WaitingRead[] = [];
  readonly #confirmed = new Map<number, number>();
  #asked = 0;

  get size(): number {
    return this.#held.length + this.#waiting.length;
  }

  get full(): boolean {
    return this.size >= READS_MAX;
  }

  /** The newest position that somebody waits for; 0 for none. */
  get position(): number {
    return this.#waiting.length === 0 ? 0 : this.#newest;
  }

  /** A read arrived since the last heartbeats left: the next ones should not wait for a tick. */
  get due(): boolean {
    return this.position > this.#asked;
  }

  /** Heartbeats leave now, with the newest position. */
  asked(): void {
    this.#asked = this.#newest;
  }

  /** A new leader does not know what is committed until it has committed something itself. */
  hold(read: Read): void {
    this.#held.push(read);
  }

  takeHeld(): Read[] {
    return this.#held.splice(0);
  }

  wait(read: Read, index: number): void {
    this.#waiting.push({ ...read, index, position: ++this.#newest });
  }

  confirm(from: number, position: number): void {
    this.#confirmed.set(from, Math.max(this.#confirmed.get(from) ?? 0, position));
  }

  /** Takes out what a majority of the voters has confirmed, this server being one where it votes. */
  takeConfirmed(self: number, voters: readonly number[]): WaitingRead[] {
    if (this.#waiting.length === 0) return [];
    const position = majorityValue(
      voters,
      (id) => id === self ? this.#newest : this.#confirmed.get(id) ?? 0,
    );
    const open = this.#waiting.findIndex((read) => read.position > position);
    return this.#waiting.splice(0, open === -1 ? this.#waiting.length : open);
  }
}
