import { DenimError } from "../base/errors.ts";
import {
  comparePrefix,
  contains,
  formatPrefix,
  nextPrefix,
  overlaps,
  type Prefix,
  tryParsePrefix,
} from "../ip/prefix.ts";
import type { Pool } from "./network.ts";
import type { FreedBody } from "./records.ts";
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
  const occupied = new Occupied(state, pool, applicant);
  return reserved(state, pool, applicant, occupied) ??
    wished(pool, applicant, occupied) ??
    neverUsed(pool, occupied) ??
    usedBefore(occupied) ??
    exhausted(pool, occupied);
}

/** True when the subnet may be leased under this pool. */
export function fitsPool(pool: Pool, subnet: Prefix): boolean {
  return subnet.family === pool.network.family && subnet.length === pool.subnetLength &&
    contains(pool.network, subnet) && pool.first.base <= subnet.base &&
    subnet.base <= pool.last.base;
}

interface Used {
  readonly subnet: Prefix;
  readonly freed: FreedBody;
}

/** What stands in the way, asked once per allocation. */
class Occupied {
  /** Leased, or reserved for somebody else: never given away. */
  readonly #taken = new Set<string>();
  /** The same for blocks of another size, left from an earlier config: compared one by one. */
  readonly #odd: Prefix[] = [];
  readonly freed: Used[] = [];
  readonly #freedByText = new Map<string, FreedBody>();
  readonly #clockMs: number;
  readonly #nodeId: string;
  leased = 0;
  reserved = 0;

  constructor(state: StateReader, pool: Pool, applicant: Applicant) {
    this.#clockMs = state.clockMs;
    this.#nodeId = applicant.nodeId;
    const take = (text: string) => {
      const subnet = tryParsePrefix(text);
      if (subnet === undefined || subnet.family !== pool.network.family) return false;
      if (subnet.length === pool.subnetLength) this.#taken.add(text);
      else this.#odd.push(subnet);
      return true;
    };
    for (const { body } of state.all("lease")) if (body.subnets.some(take)) this.leased++;
    for (const { key, body } of state.all("reservation")) {
      if (body.nodeName !== applicant.name && take(key)) this.reserved++;
    }
    for (const { key, body } of state.all("freed")) {
      const subnet = tryParsePrefix(key);
      if (subnet === undefined || !fitsPool(pool, subnet)) continue;
      this.freed.push({ subnet, freed: body });
      this.#freedByText.set(key, body);
    }
  }

  isTaken(subnet: Prefix): boolean {
    return this.#taken.has(formatPrefix(subnet)) || this.#odd.some((odd) => overlaps(odd, subnet));
  }

  wasUsed(subnet: Prefix): boolean {
    return this.#freedByText.has(formatPrefix(subnet));
  }

  /** The node that had it last is not kept waiting: the quarantine is against everybody else. */
  inQuarantine(freed: FreedBody): boolean {
    return freed.quarantineEndsMs > this.#clockMs && freed.node !== this.#nodeId;
  }

  isFree(subnet: Prefix): boolean {
    const freed = this.#freedByText.get(formatPrefix(subnet));
    return !this.isTaken(subnet) && (freed === undefined || !this.inQuarantine(freed));
  }
}

function reserved(
  state: StateReader,
  pool: Pool,
  applicant: Applicant,
  occupied: Occupied,
): Prefix | undefined {
  const own = [...state.all("reservation")]
    .filter(({ body }) => body.nodeName !== undefined && body.nodeName === applicant.name)
    .map(({ key }) => tryParsePrefix(key))
    .filter((subnet) => subnet !== undefined && fitsPool(pool, subnet) && occupied.isFree(subnet));
  return (own as Prefix[]).sort(comparePrefix)[0];
}

function wished(pool: Pool, applicant: Applicant, occupied: Occupied): Prefix | undefined {
  for (const text of applicant.wish) {
    const subnet = tryParsePrefix(text);
    if (subnet !== undefined && fitsPool(pool, subnet) && occupied.isFree(subnet)) return subnet;
  }
  return undefined;
}

function neverUsed(pool: Pool, occupied: Occupied): Prefix | undefined {
  for (let subnet = pool.first; subnet.base <= pool.last.base; subnet = nextPrefix(subnet)) {
    if (!occupied.wasUsed(subnet) && !occupied.isTaken(subnet)) return subnet;
  }
  return undefined;
}

function usedBefore(occupied: Occupied): Prefix | undefined {
  const rank = ({ freed }: Used) => (freed.how === "released" ? 0 : 1);
  const free = occupied.freed
    .filter(({ subnet, freed }) => !occupied.isTaken(subnet) && !occupied.inQuarantine(freed))
    .sort((a, b) =>
      rank(a) - rank(b) || a.freed.order - b.freed.order || comparePrefix(a.subnet, b.subnet)
    );
  return free[0]?.subnet;
}

function exhausted(pool: Pool, occupied: Occupied): never {
  const waiting = occupied.freed.filter(({ freed }) => occupied.inQuarantine(freed)).length;
  throw new DenimError("POOL_EXHAUSTED", `out of subnets in ${formatPrefix(pool.network)}`, {
    why: `${occupied.leased} are leased, ${occupied.reserved} reserved, ${waiting} in quarantine`,
    fix: "remove hosts that are gone (denim node rm), or give the network a larger range",
  });
}
