import { hash as digestOf } from "node:crypto";
import { type Canonical, canonical } from "../base/canonical.ts";
import type { StateChange, StateRecord } from "../lease/records.ts";

const MASK = (1n << 64n) - 1n;

type Change = Pick<StateChange, "before" | "after">;

/**
 * A fingerprint of a set of records: the sum, modulo 2^64, of 64 bits of SHA-256 of each record's
 * canonical text. A sum can follow one change at a time, in any order, and two replicas with equal
 * records have equal sums. It finds faults, not attackers.
 */
export class Digest {
  #sum = 0n;
  #count = 0;
  /**
   * What the sum lacks, by record: hashing waits until somebody asks, whoever follows a change does
   * not, and of one that has changed ten times meanwhile only the first and the last state count.
   */
  readonly #due = new Map<string, Change>();

  static of(records: Iterable<StateRecord>): Digest {
    const digest = new Digest();
    for (const after of records) digest.#follow(after, { before: undefined, after });
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

  follow(changes: Iterable<Change>): void {
    for (const change of changes) this.#follow((change.after ?? change.before)!, change);
  }

  #follow({ table, key }: StateRecord, { before, after }: Change): void {
    const name = `${table}/${key}`;
    const due = this.#due.get(name);
    this.#due.set(name, { before: due === undefined ? before : due.before, after });
  }

  #settle(): void {
    for (const { before, after } of this.#due.values()) {
      if (before !== undefined) this.#remove(before);
      if (after !== undefined) this.#add(after);
    }
    this.#due.clear();
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

/** Records never change: what is added now is taken out by the same figure later. */
const hashes = new WeakMap<StateRecord, bigint>();

function hash(record: StateRecord): bigint {
  const known = hashes.get(record);
  if (known !== undefined) return known;
  const text = canonical(record as unknown as Canonical);
  const fresh = digestOf("sha256", text, "buffer").readBigUInt64BE(0);
  hashes.set(record, fresh);
  return fresh;
}
