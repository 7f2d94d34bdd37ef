import { DenimError } from "../base/errors.ts";
import {
  comparePrefix,
  contains,
  formatPrefix,
  nextPrefix,
  overlaps,
  parsePrefix,
  type Prefix,
  tryParsePrefix,
} from "../ip/prefix.ts";
import type { Lookup, TableOf } from "./lookup.ts";
import type { Pool } from "./network.ts";
import type { FreedBody, ReservationBody, StateRecord } from "./records.ts";
import type { StateReader } from "./state.ts";

export interface Applicant {
  readonly nodeId: string;
  readonly name: string;
  readonly wish: readonly string[];
}

/**
 * Chooses a subnet in the pool: a reservation in the node's name, then its wish, then one that
 * nobody ever had (lowest first), then released ones, then expired ones past their quarantine (both
 * oldest first). Runs inside `apply`, so hosts that start together cannot race.
 *
 * @throws `POOL_EXHAUSTED`
 */
export function allocate(state: StateReader, pool: Pool, applicant: Applicant): Prefix {
  const field = new Field(state, pool, applicant);
  return reserved(state, field, applicant) ??
    wished(field, applicant) ??
    neverUsed(state, field) ??
    usedBefore(state, field) ??
    exhausted(state, field);
}

/** True when the applicant may have this very subnet of the pool now. */
export function isFree(state: StateReader, pool: Pool, applicant: Applicant, subnet: Prefix) {
  return new Field(state, pool, applicant).isFree(subnet);
}

/** True when the subnet may be leased under this pool. */
export function fitsPool(pool: Pool, subnet: Prefix): boolean {
  return subnet.family === pool.network.family && subnet.length === pool.subnetLength &&
    contains(pool.network, subnet) && pool.first.base <= subnet.base &&
    subnet.base <= pool.last.base;
}

/** The pool as one applicant finds it. */
class Field {
  readonly #state: StateReader;
  readonly #applicant: Applicant;
  readonly pool: Pool;
  /** Blocks of another size, left from an earlier config: few, and compared one by one. */
  readonly #odd: readonly Prefix[];

  constructor(state: StateReader, pool: Pool, applicant: Applicant) {
    this.#state = state;
    this.#applicant = applicant;
    this.pool = pool;
    this.#odd = [...this.#oddBlocks()];
  }

  /** True when the applicant may have the subnet now. */
  isFree(subnet: Prefix): boolean {
    return fitsPool(this.pool, subnet) && !this.#isTaken(formatPrefix(subnet)) &&
      !this.#odd.some((odd) => overlaps(odd, subnet));
  }

  wasUsed(subnet: Prefix): boolean {
    return this.#state.get("freed", formatPrefix(subnet)) !== undefined;
  }

  #isTaken(text: string): boolean {
    if (this.#state.find("leaseBySubnet", text).length > 0) return true;
    const reservation = this.#state.get("reservation", text);
    if (reservation !== undefined && !this.#isOwn(reservation.body)) return true;
    const freed = this.#state.get("freed", text);
    return freed !== undefined && this.isWaiting(freed.body);
  }

  /** The node that had it last is not kept waiting: the quarantine is against everybody else. */
  isWaiting(freed: FreedBody): boolean {
    return freed.quarantineEndsMs > this.#state.clockMs && freed.node !== this.#applicant.nodeId;
  }

  #isOwn({ nodeName }: ReservationBody): boolean {
    return nodeName !== undefined && nodeName === this.#applicant.name;
  }

  *#oddBlocks(): Iterable<Prefix> {
    for (const { body } of this.#ofOtherSize("leaseBySize")) yield* body.subnets.map(parsePrefix);
    for (const { key, body } of this.#ofOtherSize("freedBySize")) {
      if (this.isWaiting(body)) yield parsePrefix(key);
    }
    for (const { key, body } of this.#ofOtherSize("reservationBySize")) {
      if (!this.#isOwn(body)) yield parsePrefix(key);
    }
  }

  *#ofOtherSize<L extends Lookup>(lookup: L): Iterable<StateRecord<TableOf<L>>> {
    const { network, subnetLength } = this.pool;
    for (const term of this.#state.terms(lookup)) {
      const other = term.startsWith(`${network.family}/`) &&
        term !== `${network.family}/${subnetLength}`;
      if (other) yield* this.#state.find(lookup, term);
    }
  }
}

/** Of several the one that it wishes, else the lowest. */
function reserved(state: StateReader, field: Field, applicant: Applicant): Prefix | undefined {
  const rank = (subnet: Prefix) => {
    const at = applicant.wish.indexOf(formatPrefix(subnet));
    return at < 0 ? applicant.wish.length : at;
  };
  return [...state.all("reservation")]
    .filter(({ body }) => body.nodeName !== undefined && body.nodeName === applicant.name)
    .map(({ key }) => parsePrefix(key))
    .filter((subnet) => field.isFree(subnet))
    .sort((a, b) => rank(a) - rank(b) || comparePrefix(a, b))[0];
}

function wished(field: Field, applicant: Applicant): Prefix | undefined {
  return applicant.wish.map(tryParsePrefix)
    .find((subnet) => subnet !== undefined && field.isFree(subnet));
}

function neverUsed(state: StateReader, field: Field): Prefix | undefined {
  const { pool } = field;
  let subnet = state.usedUpTo(pool);
  for (; subnet.base <= pool.last.base; subnet = nextPrefix(subnet)) {
    if (!field.wasUsed(subnet) && field.isFree(subnet)) return subnet;
  }
  return undefined;
}

function usedBefore(state: StateReader, field: Field): Prefix | undefined {
  const rank = (freed: FreedBody) => (freed.how === "released" ? 0 : 1);
  const free = [...state.all("freed")]
    .filter(({ body }) => !field.isWaiting(body))
    .map(({ key, body }) => ({ subnet: parsePrefix(key), freed: body }))
    .sort((a, b) =>
      rank(a.freed) - rank(b.freed) || a.freed.order - b.freed.order ||
      comparePrefix(a.subnet, b.subnet)
    );
  return free.find(({ subnet }) => field.isFree(subnet))?.subnet;
}

function exhausted(state: StateReader, field: Field): never {
  const { network } = field.pool;
  const inside = (text: string) => contains(network, parsePrefix(text));
  const count = <T>(items: Iterable<T>, counts: (item: T) => boolean) =>
    [...items].filter(counts).length;
  const leased = count(state.all("lease"), ({ body }) => body.subnets.some(inside));
  const set = count(state.all("reservation"), ({ key }) => inside(key));
  const waiting = count(
    state.all("freed"),
    ({ key, body }) => inside(key) && field.isWaiting(body),
  );
  throw new DenimError("POOL_EXHAUSTED", `out of subnets in ${formatPrefix(network)}`, {
    why: `${leased} are leased, ${set} reserved, ${waiting} in quarantine`,
    fix: "remove hosts that are gone (denim node rm), or give the network a larger range",
  });
}
