import { assert, type DenimError } from "../base/errors.ts";
import type { StateChange, StateRecord } from "../lease/records.ts";
import type { AppliedRecord, Loaded, Starts, StoreFormat } from "./load.ts";
import type { Entry, HardState } from "../raft/mod.ts";
import { Batch, Database } from "./database.ts";
import { KEYS } from "./keys.ts";
import { LevelValues } from "./level-values.ts";
import { load } from "./load.ts";
import { Chain, type HardRecord, type LogRecord, NO_TRIM, type TrimRecord } from "./log.ts";
import type { Values } from "./values.ts";

/** What one turn of a driver wants on disk, together. */
export interface Write {
  readonly format?: StoreFormat;
  readonly starts?: Starts;
  readonly hardState?: HardState;
  readonly entries?: readonly Entry[];
  readonly state?: { readonly changes: readonly StateChange[]; readonly applied: AppliedRecord };
  /** Entries up to here are not needed any more; never above the stored `applied`. */
  readonly trimTo?: number;
}

/** A state that replaces whatever is there. */
export interface Installation {
  /** Written along where the store is a new one, or changes its owner. */
  readonly format?: StoreFormat;
  readonly applied: AppliedRecord;
  readonly records: readonly StateRecord[];
  /**
   * On a server: the log's chain at the snapshot, and the hard state that goes with it. An agent
   * has no log; one that is there goes.
   */
  readonly log?: { readonly chain: number; readonly hardState: HardState };
}

/** Entries removed in one batch: trimming must not hold up the log. */
const TRIM_MAX = 1_000;

/**
 * One node's database: its log, if it is a server, and its copy of the state. What was loaded is
 * as of the opening: whoever changes drivers, or makes a cluster, opens the store again.
 */
export class Store implements AsyncDisposable {
  readonly #database: Database;
  #chain: Chain;
  #hardState: HardState | undefined;
  #format: StoreFormat | undefined;
  #stored: Set<string>;
  #writing = false;
  #failed: unknown;
  /** What was found at open; once the log was given up, what that left. */
  loaded: Loaded;

  private constructor(database: Database, loaded: Loaded, chain: Chain) {
    this.#database = database;
    this.loaded = loaded;
    this.#chain = chain;
    this.#hardState = loaded.hardState;
    this.#format = loaded.format;
    this.#stored = new Set(loaded.records.map((record) => KEYS.state(record.table, record.key)));
  }

  /** Over LevelDB. @throws what {@link LevelValues.open} does */
  static async open(path: string): Promise<Store> {
    return await Store.over(await LevelValues.open(path));
  }

  /** The values are the store's from here on. @throws `STORE_DAMAGED` */
  static async over(values: Values): Promise<Store> {
    const database = new Database(values);
    try {
      const { loaded, chain } = await load(database);
      return new Store(database, loaded, chain);
    } catch (error) {
      await database[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Whose store this is now; `undefined` before the first write. */
  get format(): StoreFormat | undefined {
    return this.#format;
  }

  /** Term and chain at an index that is still retained. */
  placeAt(index: number): TrimRecord | undefined {
    return this.#chain.at(index);
  }

  get trim(): TrimRecord {
    return this.#chain.trim;
  }

  /** About what the retained log takes. */
  get logSizeBytes(): number {
    return this.#chain.sizeBytes;
  }

  /** One synced batch. One at a time. @throws `STORE_FAILED` `DISK_FULL`: then it is finished. */
  async write(write: Write): Promise<void> {
    const batch = new Batch();
    if (write.format !== undefined) this.#putFormat(batch, write.format);
    if (write.starts !== undefined) batch.put(KEYS.starts, write.starts);
    if (write.entries?.length) this.#append(batch, write.entries);
    this.#hardState = write.hardState ?? this.#hardState;
    if (write.hardState !== undefined || write.entries?.length) this.#putHard(batch);
    if (write.state !== undefined) this.#putState(batch, write.state);
    if (write.trimTo !== undefined) this.#trim(batch, write.trimTo);
    await this.#commit(batch);
  }

  /** Replaces the state, and on a server the log, in one batch: all of it or nothing. */
  async install(installation: Installation): Promise<void> {
    const { applied, records, log, format } = installation;
    const batch = new Batch();
    if (format !== undefined) this.#putFormat(batch, format);
    const wanted = new Set(records.map((record) => KEYS.state(record.table, record.key)));
    for (const key of this.#stored) if (!wanted.has(key)) batch.delete(key);
    for (const record of records) batch.put(KEYS.state(record.table, record.key), record);
    batch.put(KEYS.applied, applied);
    this.#stored = wanted;
    if (log !== undefined) this.#restartLog(batch, applied, log);
    else this.#dropLog(batch, applied);
    await this.#commit(batch);
    if (log === undefined) this.#holdsNoLog(applied);
  }

  /** The node holds the log no more; its state goes on as an agent's. */
  async dropLog(state: NonNullable<Write["state"]>): Promise<void> {
    const applied = { ...state.applied, term: 0 };
    const batch = new Batch();
    this.#dropLog(batch, state.applied);
    this.#putState(batch, { changes: state.changes, applied });
    await this.#commit(batch);
    this.#holdsNoLog(applied);
  }

  #holdsNoLog(applied: AppliedRecord): void {
    this.loaded = {
      ...this.loaded,
      ...{ hardState: this.#hardState, format: this.#format },
      ...{ trim: NO_TRIM, entries: [], applied },
    };
  }

  /** What is here is not to be believed: nothing is written after this, and no start uses it. */
  async condemn(error: DenimError): Promise<void> {
    const batch = new Batch();
    batch.put(KEYS.condemned, { why: error.why ?? error.message });
    await this.#commit(batch).catch(() => {});
    this.#failed ??= error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#database[Symbol.asyncDispose]();
  }

  #putFormat(batch: Batch, format: StoreFormat): void {
    batch.put(KEYS.format, format);
    this.#format = format;
  }

  #append(batch: Batch, entries: readonly Entry[]): void {
    const endBefore = this.#chain.last.index;
    for (const entry of entries) {
      const { term, type, data } = entry;
      const chain = this.#chain.append(entry);
      batch.put(KEYS.log(entry.index), { term, type, data, chain } satisfies LogRecord);
    }
    // A conflicting suffix goes in the batch that replaces it.
    for (let index = this.#chain.last.index + 1; index <= endBefore; index++) {
      batch.delete(KEYS.log(index));
    }
  }

  #putHard(batch: Batch): void {
    assert(this.#hardState !== undefined, "a log has a hard state");
    const { index: lastIndex, chain: lastChain } = this.#chain.last;
    batch.put(KEYS.hard, { ...this.#hardState, lastIndex, lastChain } satisfies HardRecord);
  }

  #putState(batch: Batch, { changes, applied }: NonNullable<Write["state"]>): void {
    for (const { table, key, after } of changes) {
      const name = KEYS.state(table, key);
      if (after === undefined) {
        batch.delete(name);
        this.#stored.delete(name);
      } else {
        batch.put(name, after);
        this.#stored.add(name);
      }
    }
    batch.put(KEYS.applied, applied);
  }

  #trim(batch: Batch, wanted: number): void {
    const from = this.#chain.trim.index;
    const index = Math.min(wanted, from + TRIM_MAX);
    if (index <= from) return;
    const trim = this.#chain.at(index);
    assert(trim !== undefined, `cannot trim to ${index}: the log ends before`);
    for (let i = from + 1; i <= index; i++) batch.delete(KEYS.log(i));
    this.#chain.cut(trim);
    batch.put(KEYS.trim, this.#chain.trim);
  }

  #restartLog(
    batch: Batch,
    applied: AppliedRecord,
    log: NonNullable<Installation["log"]>,
  ): void {
    const { index, term } = applied;
    const from = this.#chain.trim.index + 1;
    const end = this.#chain.last.index;
    const trim = { index, term, chain: log.chain };
    this.#chain.cut(trim);
    // The whole log goes unless it holds the snapshot's own entry (hashicorp/raft #697).
    const keptFrom = this.#chain.last.index > index ? index + 1 : end + 1;
    for (let i = from; i < keptFrom; i++) batch.delete(KEYS.log(i));
    batch.put(KEYS.trim, trim);
    this.#hardState = log.hardState;
    this.#putHard(batch);
  }

  /**
   * Term and vote stay: who comes back must not vote twice in a term. The raft id goes: under it
   * this store would vote for candidates that lack what it once acknowledged. A standby to which no
   * log has come yet has acknowledged nothing, and stays a member. How far the log had got stays
   * known, for who has not heard of that yet: a state that comes from elsewhere cannot tell.
   */
  #dropLog(batch: Batch, { index, term }: AppliedRecord): void {
    if (this.#hardState === undefined) return;
    const { trim, last } = this.#chain;
    const { raftId, spentAt: _, ...format } = this.#format!;
    if (raftId !== undefined && last.index > 0) {
      const spentAt = term > 0 ? { spentAt: { index, term } } : {};
      this.#putFormat(batch, { ...format, spentRaftId: raftId, ...spentAt });
    }
    for (let i = trim.index + 1; i <= last.index; i++) batch.delete(KEYS.log(i));
    batch.delete(KEYS.trim);
    this.#chain = new Chain(NO_TRIM);
    this.#hardState = { ...this.#hardState, commit: 0 };
    this.#putHard(batch);
  }

  /** A write that failed is the last one: memory and disk may differ now (cockroach #37102). */
  async #commit(batch: Batch): Promise<void> {
    if (this.#failed !== undefined) throw this.#failed;
    assert(!this.#writing, "one write at a time");
    this.#writing = true;
    try {
      await this.#database.write(batch);
    } catch (error) {
      this.#failed = error;
      throw error;
    } finally {
      this.#writing = false;
    }
  }
}
