import { assert } from "../base/errors.ts";
import { formatPrefix, nextPrefix, type Prefix } from "../ip/prefix.ts";
import { type Lookup, LookupTables, type TableOf, tableOf, termsOf } from "./lookup.ts";
import type { Pool } from "./network.ts";
import type { Bodies, LeaseBody, NodeBody, StateChange, StateRecord, Table } from "./records.ts";
import { CLOCK_TABLES, isRevisioned, REVISIONED_TABLES, SINGLE } from "./records.ts";

/** What may be asked of the state; the same questions work on a draft of it. */
export interface StateReader {
  /** Raft index of the last entry that changed a revisioned record. */
  readonly revision: number;
  /** The lease clock, milliseconds. It stands still while there is no leader. */
  readonly clockMs: number;
  get<T extends Table>(table: T, key: string): StateRecord<T> | undefined;
  all<T extends Table>(table: T): Iterable<StateRecord<T>>;
  /** The records that answer a lookup under a term, usually none or one. */
  find<L extends Lookup>(lookup: L, term: string): readonly StateRecord<TableOf<L>>[];
  /** The terms of a lookup under which there may be records. */
  terms(lookup: Lookup): Iterable<string>;
  /** Everything in the pool below this was leased before, or is reserved. */
  usedUpTo(pool: Pool): Prefix;
}

/** Everything the cluster agrees on. Records are immutable; only {@link State.commit} replaces them. */
export class State implements StateReader {
  #revision = 0;
  #clockMs = 0;
  readonly #tables = new Map<Table, Map<string, StateRecord>>(
    [...REVISIONED_TABLES, ...CLOCK_TABLES].map((table) => [table, new Map()]),
  );
  readonly #lookups = new LookupTables();
  /** By pool: {@link usedUpTo}. It only moves up, until a reservation is lifted. */
  readonly #usedUpTo = new Map<string, Prefix>();
  /** No lease ends before; exact when it was last looked at. */
  #quietUntilMs = Infinity;

  get revision(): number {
    return this.#revision;
  }

  get clockMs(): number {
    return this.#clockMs;
  }

  get<T extends Table>(table: T, key: string): StateRecord<T> | undefined {
    return this.#tables.get(table)!.get(key) as StateRecord<T> | undefined;
  }

  all<T extends Table>(table: T): Iterable<StateRecord<T>> {
    return this.#tables.get(table)!.values() as Iterable<StateRecord<T>>;
  }

  find<L extends Lookup>(lookup: L, term: string): StateRecord<TableOf<L>>[] {
    const records = this.#tables.get(tableOf(lookup))!;
    return [...this.#lookups.keys(lookup, term)]
      .map((key) => records.get(key)! as StateRecord<TableOf<L>>);
  }

  terms(lookup: Lookup): Iterable<string> {
    return this.#lookups.terms(lookup);
  }

  usedUpTo(pool: Pool): Prefix {
    const name = `${formatPrefix(pool.first)} ${formatPrefix(pool.last)}`;
    let subnet = this.#usedUpTo.get(name) ?? pool.first;
    while (subnet.base <= pool.last.base && this.#isUsed(formatPrefix(subnet))) {
      subnet = nextPrefix(subnet);
    }
    this.#usedUpTo.set(name, subnet);
    return subnet;
  }

  #isUsed(subnet: string): boolean {
    return this.get("freed", subnet) !== undefined ||
      this.get("reservation", subnet) !== undefined ||
      this.find("leaseBySubnet", subnet).length > 0;
  }

  /**
   * A point of the lease clock before which no lease ends; `undefined` while none can. Renewals
   * only put it off, so looking at all deadlines can wait until the clock has come there.
   */
  nextDeadlineMs(): number | undefined {
    const deadlines = this.#tables.get("deadline")!;
    if (deadlines.size === 0) return undefined;
    if (this.#quietUntilMs <= this.#clockMs) {
      this.#quietUntilMs = Infinity;
      for (const { body } of this.all("deadline")) {
        this.#quietUntilMs = Math.min(this.#quietUntilMs, body.deadlineMs);
      }
    }
    return this.#quietUntilMs;
  }

  /** Records of the section, in no particular order. */
  *records(section: "revisioned" | "clock"): Iterable<StateRecord> {
    for (const table of section === "revisioned" ? REVISIONED_TABLES : CLOCK_TABLES) {
      yield* this.#tables.get(table)!.values();
    }
  }

  /** Takes the changes of one entry. `clockMs` never goes back. */
  commit(index: number, changes: readonly StateChange[], clockMs: number): void {
    assert(clockMs >= this.#clockMs, "the lease clock never goes back");
    this.#clockMs = clockMs;
    for (const { table, key, after } of changes) {
      this.#set(table, key, after);
      if (isRevisioned(table)) this.#revision = index;
    }
  }

  #set(table: Table, key: string, after: StateRecord | undefined): void {
    const records = this.#tables.get(table)!;
    const before = records.get(key);
    if (after === undefined) records.delete(key);
    else records.set(key, after);
    this.#lookups.follow({ table, before, after });
    if (after?.table === "deadline") {
      this.#quietUntilMs = Math.min(this.#quietUntilMs, after.body.deadlineMs);
    }
    if (table === "reservation" && after === undefined) this.#usedUpTo.clear();
  }

  /** A state from records that were stored or received. */
  static restore(
    records: Iterable<StateRecord>,
    at: { readonly revision: number; readonly clockMs: number },
  ): State {
    const state = new State();
    for (const record of records) state.#set(record.table, record.key, record);
    state.#revision = at.revision;
    state.#clockMs = at.clockMs;
    return state;
  }
}

/** One command's changes on top of the state, dropped as a whole when the command is refused. */
export class Draft implements StateReader {
  readonly #state: StateReader;
  readonly #changed = new Map<string, StateChange>();
  readonly index: number;
  readonly clockMs: number;

  constructor(state: StateReader, at: { readonly index: number; readonly clockMs: number }) {
    this.#state = state;
    this.index = at.index;
    this.clockMs = at.clockMs;
  }

  get revision(): number {
    return this.#state.revision;
  }

  get<T extends Table>(table: T, key: string): StateRecord<T> | undefined {
    const change = this.#changed.get(`${table}/${key}`);
    return change === undefined
      ? this.#state.get(table, key)
      : change.after as StateRecord<T> | undefined;
  }

  *all<T extends Table>(table: T): Iterable<StateRecord<T>> {
    for (const record of this.#state.all(table)) {
      if (!this.#changed.has(`${table}/${record.key}`)) yield record;
    }
    for (const change of this.#changed.values()) {
      if (change.table === table && change.after !== undefined) {
        yield change.after as StateRecord<T>;
      }
    }
  }

  find<L extends Lookup>(lookup: L, term: string): StateRecord<TableOf<L>>[] {
    const found = this.#state.find(lookup, term)
      .filter((record) => !this.#changed.has(`${record.table}/${record.key}`));
    for (const { after } of this.#changed.values()) {
      if (after?.table !== tableOf(lookup) || !termsOf(lookup, after).includes(term)) continue;
      found.push(after as StateRecord<TableOf<L>>);
    }
    return found;
  }

  terms(lookup: Lookup): Iterable<string> {
    const changed = [...this.#changed.values()].map(({ after }) => after)
      .filter((after) => after?.table === tableOf(lookup));
    return new Set([
      ...this.#state.terms(lookup),
      ...changed.flatMap((after) => termsOf(lookup, after!)),
    ]);
  }

  usedUpTo(pool: Pool): Prefix {
    return this.#state.usedUpTo(pool);
  }

  put<T extends Table>(table: T, key: string, body: Bodies[T]): StateRecord<T> {
    const now = this.get(table, key);
    const after = {
      table,
      key,
      createRevision: now?.createRevision ?? this.index,
      modRevision: this.index,
      body,
    } as StateRecord<T>;
    this.#change(table, key, after as StateRecord);
    return after;
  }

  delete(table: Table, key: string): void {
    if (this.get(table, key) !== undefined) this.#change(table, key, undefined);
  }

  changes(): StateChange[] {
    return [...this.#changed.values()]
      .filter(({ before, after }) => before !== undefined || after !== undefined);
  }

  #change(table: Table, key: string, after: StateRecord | undefined): void {
    const before = this.#state.get(table, key) as StateRecord | undefined;
    this.#changed.set(`${table}/${key}`, { table, key, before, after });
  }
}

/** The lease of a node; a node has at most one. */
export function leaseOf(state: StateReader, node: string): StateRecord<"lease"> | undefined {
  return state.find("leaseByNode", node)[0];
}

export function nodeByName(state: StateReader, name: string): StateRecord<"node"> | undefined {
  return state.find("nodeByName", name)[0];
}

export function nodeByRaftId(state: StateReader, raftId: number): StateRecord<"node"> | undefined {
  return state.find("nodeByRaftId", String(raftId))[0];
}

/**
 * The node left or was removed. One of which this state knows nothing at all joined after it: who
 * is gone leaves a tombstone for as long as its certificate is good.
 */
export function isGone(state: StateReader, node: string): boolean {
  return state.get("node", node) === undefined && state.get("tombstone", node) !== undefined;
}

export function theCluster(state: StateReader): Bodies["cluster"] | undefined {
  return state.get("cluster", SINGLE)?.body;
}

export function theGroup(state: StateReader): Bodies["group"] {
  return state.get("group", SINGLE)?.body ?? { voters: [], learners: [] };
}

/** A raft id that nobody ever had. */
export function nextRaftId(draft: Draft): number {
  const cluster = theCluster(draft);
  assert(cluster !== undefined, "there is a cluster that has servers");
  const lastRaftId = cluster.lastRaftId + 1;
  draft.put("cluster", SINGLE, { ...cluster, lastRaftId });
  return lastRaftId;
}

/** The network config's text, as it was typed. */
export function theNetwork(state: StateReader): string | undefined {
  return state.get("network", SINGLE)?.body.config;
}

/** Nodes with their leases, sorted by name: what most views show. */
export function nodesWithLeases(
  state: StateReader,
): { readonly id: string; readonly node: NodeBody; readonly lease: LeaseBody | undefined }[] {
  const leases = new Map<string, LeaseBody>();
  for (const { body } of state.all("lease")) leases.set(body.node, body);
  return [...state.all("node")]
    .map(({ key, body }) => ({ id: key, node: body, lease: leases.get(key) }))
    .sort((a, b) => (a.node.name < b.node.name ? -1 : 1));
}
