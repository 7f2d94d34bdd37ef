import { tryParsePrefix } from "../ip/prefix.ts";
import type { Bodies, StateChange, StateRecord, Table } from "./records.ts";

/**
 * Questions that commands ask of thousands of records, and under which terms a record answers
 * each. Without them a renewal would look at every lease.
 */
const LOOKUPS = {
  leaseByNode: on("lease", (_, body) => [body.node]),
  leaseBySubnet: on("lease", (_, body) => body.subnets),
  leaseByAddress: on(
    "lease",
    (_, { publicIp, publicIpv6 }) =>
      publicIpv6 === undefined || publicIpv6 === publicIp ? [publicIp] : [publicIp, publicIpv6],
  ),
  /** By family and length, such as `4/24`: blocks that are not of a pool's size are few. */
  leaseBySize: on("lease", (_, body) => [...new Set(body.subnets.map(sizeTerm))]),
  freedBySize: on("freed", (key) => [sizeTerm(key)]),
  reservationBySize: on("reservation", (key) => [sizeTerm(key)]),
  reservationByMover: on("reservation", (_, { moves }) => moves === undefined ? [] : [moves]),
  nodeByName: on("node", (_, body) => [body.name]),
  nodeByRaftId: on("node", (_, { raftId }) => raftId === undefined ? [] : [String(raftId)]),
  nodeByCsrKey: on("node", (_, body) => [body.csrKey]),
} as const;

export type Lookup = keyof typeof LOOKUPS;
export type TableOf<L extends Lookup> = (typeof LOOKUPS)[L]["table"];

interface Definition<T extends Table> {
  readonly table: T;
  readonly terms: (key: string, body: Bodies[T]) => readonly string[];
}

const NAMES = Object.keys(LOOKUPS) as Lookup[];

function on<T extends Table>(table: T, terms: Definition<T>["terms"]): Definition<T> {
  return { table, terms };
}

function sizeTerm(subnet: string): string {
  const prefix = tryParsePrefix(subnet);
  return prefix === undefined ? "" : `${prefix.family}/${prefix.length}`;
}

/** The lookups that a table takes part in. */
const NAMES_BY_TABLE = new Map<Table, readonly Lookup[]>();
for (const name of NAMES) {
  const { table } = LOOKUPS[name];
  NAMES_BY_TABLE.set(table, [...NAMES_BY_TABLE.get(table) ?? [], name]);
}

export function tableOf(name: Lookup): Table {
  return LOOKUPS[name].table;
}

/** Under which terms a record of {@link tableOf} the lookup is found. */
export function termsOf(name: Lookup, record: StateRecord): readonly string[] {
  const { terms } = LOOKUPS[name] as Definition<Table>;
  return terms(record.key, record.body);
}

/** Follows the records of a state, so that {@link keys} costs the same whatever their number. */
export class LookupTables {
  readonly #tables = new Map<Lookup, Map<string, Set<string>>>(
    NAMES.map((name) => [name, new Map()]),
  );

  keys(name: Lookup, term: string): Iterable<string> {
    return this.#tables.get(name)!.get(term) ?? [];
  }

  /** Every term under which a record is found. */
  terms(name: Lookup): Iterable<string> {
    return this.#tables.get(name)!.keys();
  }

  follow({ table, before, after }: Pick<StateChange, "table" | "before" | "after">): void {
    for (const name of NAMES_BY_TABLE.get(table) ?? []) {
      const terms = this.#tables.get(name)!;
      for (const term of before ? termsOf(name, before) : []) {
        const keys = terms.get(term)!;
        keys.delete(before!.key);
        if (keys.size === 0) terms.delete(term);
      }
      for (const term of after ? termsOf(name, after) : []) {
        const keys = terms.get(term);
        if (keys === undefined) terms.set(term, new Set([after!.key]));
        else keys.add(after!.key);
      }
    }
  }
}
