import { crc32 } from "node:zlib";
import type { Entry, HardState } from "../raft/mod.ts";
import { damaged } from "./codec.ts";
import { KEYS } from "./keys.ts";

/** A log entry as stored: the entry without its index, and the chain up to it. */
export interface LogRecord {
  readonly term: number;
  readonly type: Entry["type"];
  readonly data: string;
  readonly chain: number;
}

/** The hard state says how the log must end, so that a lost tail cannot go unnoticed. */
export interface HardRecord extends HardState {
  readonly lastIndex: number;
  readonly lastChain: number;
}

/** The entry before the first retained one. */
export interface TrimRecord {
  readonly index: number;
  readonly term: number;
  readonly chain: number;
}

export const NO_TRIM: TrimRecord = { index: 0, term: 0, chain: 0 };

/**
 * The log's chain of checksums: each link covers the one before, so a batch that was lost in the
 * middle shows even where a later one made the indices whole again. It runs from index 1 and is
 * equal on all replicas.
 */
export class Chain {
  #trim: TrimRecord;
  /** The retained places, from `trim.index + 1` on, and the size of what stands there. */
  #places: (TrimRecord & { readonly sizeBytes: number })[] = [];
  #sizeBytes = 0;

  constructor(trim: TrimRecord) {
    this.#trim = trim;
  }

  get trim(): TrimRecord {
    return this.#trim;
  }

  get last(): TrimRecord {
    return this.#places.at(-1) ?? this.#trim;
  }

  /** About what the retained entries take, on disk and in memory. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  at(index: number): TrimRecord | undefined {
    return index === this.#trim.index ? this.#trim : this.#places[index - this.#trim.index - 1];
  }

  /** Adds an entry, dropping what stood at its place and behind. Returns its link. */
  append({ index, term, type, data }: Entry): number {
    const before = this.at(index - 1);
    if (before === undefined) throw damaged(`entry ${index} has no predecessor`);
    const replaced = this.#places.splice(index - this.#trim.index - 1);
    const chain = crc32(`${before.chain} ${index} ${term} ${type} ${data}`);
    this.#places.push({ index, term, chain, sizeBytes: data.length + ENTRY_OVERHEAD_BYTES });
    this.#sizeBytes += data.length + ENTRY_OVERHEAD_BYTES - sum(replaced);
    return chain;
  }

  /** Forgets entries up to a place; all of them when it does not hold that place. */
  cut(to: TrimRecord): void {
    const { index, term, chain } = to;
    const keeps = this.at(index)?.chain === chain;
    const dropped = this.#places.splice(0, keeps ? index - this.#trim.index : Infinity);
    this.#sizeBytes -= sum(dropped);
    this.#trim = { index, term, chain };
  }
}

/** Key, numbers and checksums around an entry's data. */
const ENTRY_OVERHEAD_BYTES = 100;

function sum(places: readonly { readonly sizeBytes: number }[]): number {
  return places.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
}

/** Reads the stored log back, link by link. @throws `STORE_DAMAGED` */
export function restoreLog(
  hard: HardRecord | undefined,
  trim: TrimRecord,
  stored: readonly { readonly key: string; readonly record: LogRecord }[],
): { readonly entries: readonly Entry[]; readonly chain: Chain } {
  const chain = new Chain(trim);
  const entries: Entry[] = [];
  for (const { key, record } of stored) {
    const index = chain.last.index + 1;
    if (key !== KEYS.log(index)) throw damaged(`the log has a hole at ${index}`);
    const { term, type, data } = record;
    const entry = { index, term, type, data };
    if (chain.append(entry) !== record.chain) throw damaged(`the log's chain breaks at ${index}`);
    entries.push(entry);
  }
  const end = hard ?? { lastIndex: trim.index, lastChain: trim.chain, commit: trim.index };
  if (chain.last.index !== end.lastIndex || chain.last.chain !== end.lastChain) {
    throw damaged(`the log ends at ${chain.last.index}, it was written up to ${end.lastIndex}`);
  }
  if (end.commit > end.lastIndex) throw damaged("the log is shorter than what was committed");
  return { entries, chain };
}
