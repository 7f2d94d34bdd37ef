import { DenimError } from "../base/errors.ts";
import { type Epoch, type Incarnation, isRevisioned, type StateRecord } from "../lease/records.ts";
import type { Entry, HardState, Place } from "../raft/mod.ts";
import { damaged } from "./codec.ts";
import type { Database } from "./database.ts";
import { Digest } from "./digest.ts";
import { KEYS, RANGES } from "./keys.ts";
import {
  type Chain,
  type HardRecord,
  type LogRecord,
  NO_TRIM,
  restoreLog,
  type TrimRecord,
} from "./log.ts";

/** Which node and which history a store belongs to. Part of the first write of all. */
export interface StoreFormat {
  readonly schema: 1;
  readonly clusterId: string;
  readonly epoch: Epoch;
  /** Random name of this data directory: a copy of it elsewhere has the same. */
  readonly storeId: string;
  /** The id under which this store takes part in Raft; none on an agent. */
  readonly raftId?: number;
  /** The last one whose log this store has given up: it takes part under none up to that. */
  readonly spentRaftId?: number;
  /** How far the log of that one was applied, and so committed, when it was given up. */
  readonly spentAt?: Place;
}

/** Starts of this node that the cluster may not have recorded yet, newest last. */
export interface Starts {
  readonly incarnations: readonly Incarnation[];
}

/** How far the state has got. */
export interface AppliedRecord {
  readonly index: number;
  /** 0 on an agent: its state came from a feed, and `index` is the last revision it was told. */
  readonly term: number;
  readonly revision: number;
  readonly clockMs: number;
  readonly records: number;
  readonly digest: string;
  readonly clockRecords: number;
  readonly clockDigest: string;
}

/** What was found at open, checked. */
export interface Loaded {
  readonly format: StoreFormat | undefined;
  readonly starts: Starts;
  readonly hardState: HardState | undefined;
  readonly trim: TrimRecord;
  readonly entries: readonly Entry[];
  readonly applied: AppliedRecord | undefined;
  readonly records: readonly StateRecord[];
}

/**
 * Reads a database back and proves it: checksums, the log's chain and end, the digests of both
 * sections. A store that fails here must not vote.
 *
 * @throws `STORE_DAMAGED`; `UPGRADE_NEEDED` where a newer program has written it
 */
export async function load(database: Database): Promise<{ loaded: Loaded; chain: Chain }> {
  const format = await database.read(KEYS.format) as StoreFormat | undefined;
  if (format !== undefined && format.schema !== 1) {
    throw new DenimError("UPGRADE_NEEDED", "The store cannot be read by this program", {
      why: `it has format ${format.schema}, this program reads 1`,
      fix: "run the newer version of Denim that wrote it",
    });
  }
  const condemned = await database.read(KEYS.condemned) as { why: string } | undefined;
  if (condemned !== undefined) throw damaged(condemned.why);
  const hard = await database.read(KEYS.hard) as HardRecord | undefined;
  const trim = (await database.read(KEYS.trim) ?? NO_TRIM) as TrimRecord;
  const stored = (await database.readAll(RANGES.log))
    .map(({ key, value }) => ({ key, record: value as LogRecord }));
  const { entries, chain } = restoreLog(hard, trim, stored);
  const applied = await database.read(KEYS.applied) as AppliedRecord | undefined;
  const records = (await database.readAll(RANGES.state)).map(({ value }) => value as StateRecord);
  if (format === undefined && (hard ?? applied) !== undefined) {
    throw damaged("it does not say whose it is");
  }
  verifyState(applied, records);
  verifyOrder(hard, trim, applied);
  const starts = (await database.read(KEYS.starts) ?? { incarnations: [] }) as Starts;
  const hardState = hard && { term: hard.term, vote: hard.vote, commit: hard.commit };
  return { loaded: { format, starts, hardState, trim, entries, applied, records }, chain };
}

function verifyOrder(
  hard: HardRecord | undefined,
  trim: TrimRecord,
  applied: AppliedRecord | undefined,
): void {
  // An agent's state stays until the server that it has become was sent the group's.
  const index = applied === undefined || applied.term === 0 ? 0 : applied.index;
  if (index > 0 && hard === undefined) throw damaged("term and vote are gone");
  if (hard !== undefined && index > hard.commit) {
    throw damaged("the state is ahead of what was committed");
  }
  if (index < trim.index) throw damaged("the log starts behind the state");
}

/** @throws `STORE_DAMAGED` where the records are not those that `applied` speaks of */
export function verifyState(
  applied: AppliedRecord | undefined,
  records: readonly StateRecord[],
): void {
  const revisioned = Digest.of(records.filter(({ table }) => isRevisioned(table)));
  const clock = Digest.of(records.filter(({ table }) => !isRevisioned(table)));
  if (applied === undefined) {
    if (records.length > 0) throw damaged("there is a state, but not how far it had got");
    return;
  }
  const found = [revisioned.count, revisioned.text, clock.count, clock.text].join();
  const { records: count, digest, clockRecords, clockDigest } = applied;
  if (found !== [count, digest, clockRecords, clockDigest].join()) {
    throw damaged("the digest of the state is wrong: records were lost or changed");
  }
}
