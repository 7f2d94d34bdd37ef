import { createHash } from "node:crypto";
import { type Canonical, canonical } from "../base/canonical.ts";
import type { StateChange, StateRecord } from "../lease/records.ts";

const MASK = (1n << 64n) - 1n;

/**
 * A fingerprint of a set of records: the sum, modulo 2^64, of 64 bits of SHA-256 of each record's
 * canonical text. A sum can follow one change at a time, in any order, and two replicas with equal
 * records have equal sums. It finds faults, not attackers.
 */
export class Digest {
  #sum = 0n;
  #count = 0;
  /** What the sum lacks: hashing waits until somebody asks, and whoever follows a change does not. */
  #due: Pick<StateChange, "before" | "after">[] = [];

  static of(records: Iterable<StateRecord>): Digest {
    const digest = new Digest();
    for (const after of records) digest.#due.push({ before: undefined, after });
    return digest;
  }

  get count(): number {
    this.#settle();
    return this.#count;
  }

  /** 16 hex digits. */
  get text(): string {
    this.#settle();
    return this.#sum.toString(16).padStart(16, "0");
  }

  follow(changes: Iterable<Pick<StateChange, "before" | "after">>): void {
    for (const { before, after } of changes) this.#due.push({ before, after });
  }

  #settle(): void {
    for (const { before, after } of this.#due.splice(0)) {
      if (before !== undefined) this.#remove(before);
      if (after !== undefined) this.#add(after);
    }
  }

  #add(record: StateRecord): void {
    this.#sum = (this.#sum + hash(record)) & MASK;
    this.#count++;
  }

  #remove(record: StateRecord): void {
    this.#sum = (this.#sum - hash(record)) & MASK;
    this.#count--;
  }
}

function hash(record: StateRecord): bigint {
  const text = canonical(record as unknown as Canonical);
  return createHash("sha256").update(text).digest().readBigUInt64BE(0);
}
