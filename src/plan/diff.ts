import { type Address, equalAddress } from "../ip/address.ts";
import { comparePrefix, contains, formatPrefix, type Prefix } from "../ip/prefix.ts";
import type { Mode } from "./confidence.ts";
import {
  type Change,
  defaultMetric,
  type KernelRoute,
  type Route,
  ROUTE_PROTOCOL,
  type Wanted,
} from "./kernel.ts";

export interface DiffOptions {
  /** Every network that this data directory ever programmed, the current ones included. */
  readonly networks: readonly Prefix[];
  readonly mode: Mode;
  /**
   * Subnets whose leases were claimed in this epoch: their routes may be repaired even when the
   * mode says to add only. Nothing is removed for that.
   */
  readonly claimed?: readonly Prefix[];
}

/** How one destination stands. */
export interface Item {
  readonly destination: Prefix;
  /**
   * - `ok`: in place.
   * - `missing`: wanted, not there.
   * - `different`: ours is there with another gateway, device or metric.
   * - `extra`: ours, and no longer wanted.
   * - `conflict`: somebody else's route is in the way. Reported, never fought over.
   */
  readonly state: "ok" | "missing" | "different" | "extra" | "conflict";
  readonly wanted?: Wanted;
  /** What the kernel has: ours, or in a conflict the other's. */
  readonly actual?: KernelRoute;
  /** Of a conflict: one sentence. */
  readonly why?: string;
}

export interface Difference {
  /** Adds before replacements before removals, so that a route is never missed for a moment. */
  readonly changes: readonly Change[];
  /** Every destination that is wanted or ours, sorted. */
  readonly items: readonly Item[];
}

/**
 * What has to change so that the kernel holds what is wanted. Only routes that carry our protocol
 * *and* lie inside a network of ours are ever changed or removed; in mode `add-only` not even
 * those, as what is known may be incomplete or old.
 */
export function diff(
  wanted: readonly Wanted[],
  actual: readonly KernelRoute[],
  options: DiffOptions,
): Difference {
  const found = new Map<string, KernelRoute[]>();
  for (const route of actual) {
    const key = formatPrefix(route.destination);
    const same = found.get(key);
    if (same === undefined) found.set(key, [route]);
    else same.push(route);
  }
  const parts: Part[] = [];
  const seen = new Set<string>();
  for (const item of wanted) {
    const key = formatPrefix(item.destination);
    if (seen.has(key)) {
      parts.push(conflict(item, "another route for the same destination is wanted already"));
    } else {
      parts.push(compare(item, found.get(key) ?? [], options));
    }
    seen.add(key);
  }
  for (const route of actual) {
    const isExtra = isOurs(route, options.networks) && !seen.has(formatPrefix(route.destination));
    if (isExtra) parts.push(extra(route, options));
  }
  return assemble(parts);
}

/** One destination's share of a difference. */
interface Part {
  readonly item: Item;
  readonly changes: readonly Change[];
}

/** Ours: the protocol says so, and the destination lies in a network that we ever programmed. */
function isOurs(route: KernelRoute, networks: readonly Prefix[]): boolean {
  return route.protocol === ROUTE_PROTOCOL &&
    networks.some((network) => contains(network, route.destination));
}

function compare(item: Wanted, found: readonly KernelRoute[], options: DiffOptions): Part {
  const { destination } = item;
  if (!options.networks.some((network) => contains(network, destination))) {
    return conflict(item, "it lies outside every network of this host");
  }
  const ours = found.filter((route) => isOurs(route, options.networks));
  const foreign = found.find((route) => !isOurs(route, options.networks));
  const inPlace = ours.find((route) => isAsWanted(item, route));
  const mayChange = options.mode === "full" ||
    (options.claimed ?? []).some((subnet) => contains(subnet, destination));
  // What stands at the metric that the wanted one gets would be in its way.
  const first = ours.find((route) => route.metric === metricOf(item)) ?? ours[0];
  const changes: Change[] = [];
  if (inPlace === undefined && first !== undefined && mayChange) {
    changes.push({ kind: "replace", item, old: asRoute(first) });
  } else if (first === undefined && foreign === undefined) {
    changes.push({ kind: "add", item });
  }
  if (options.mode === "full") {
    const strays = ours.filter((route) => route !== inPlace && (inPlace || route !== first));
    for (const stray of strays) changes.push({ kind: "remove", item: asRoute(stray) });
  }
  if (foreign !== undefined) {
    const why = `a route of protocol ${foreign.protocol} is there already`;
    return {
      item: { destination, state: "conflict", wanted: item, actual: foreign, why },
      changes,
    };
  }
  const state = inPlace ? "ok" : first ? "different" : "missing";
  const shown = inPlace ?? first;
  return {
    item: { destination, state, wanted: item, ...(shown ? { actual: shown } : {}) },
    changes,
  };
}

function extra(route: KernelRoute, options: DiffOptions): Part {
  return {
    item: { destination: route.destination, state: "extra", actual: route },
    changes: options.mode === "full" ? [{ kind: "remove", item: asRoute(route) }] : [],
  };
}

function conflict(wanted: Wanted, why: string): Part {
  const { destination } = wanted;
  return { item: { destination, state: "conflict", wanted, why }, changes: [] };
}

function isAsWanted(wanted: Wanted, route: KernelRoute): boolean {
  return route.plain && route.device === wanted.device && sameAddress(route.via, wanted.via) &&
    route.onlink === (wanted.onlink === true) &&
    route.metric === metricOf(wanted);
}

function metricOf(wanted: Wanted): number {
  return wanted.metric ?? defaultMetric(wanted.destination.family);
}

function sameAddress(a: Address | undefined, b: Address | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalAddress(a, b);
}

/** A route of ours as something that can be removed. */
function asRoute(route: KernelRoute): Route {
  const { destination, via, device, onlink, metric } = route;
  return {
    kind: "route",
    destination,
    ...(via === undefined ? {} : { via }),
    device,
    ...(onlink ? { onlink } : {}),
    ...(metric === defaultMetric(destination.family) ? {} : { metric }),
  };
}

const RANK = { add: 0, replace: 1, remove: 2 } as const;

function assemble(parts: readonly Part[]): Difference {
  const byDestination = (a: { destination: Prefix }, b: { destination: Prefix }) =>
    comparePrefix(a.destination, b.destination);
  return {
    items: parts.map((part) => part.item).sort(byDestination),
    changes: parts.flatMap((part) => part.changes).sort((a, b) =>
      RANK[a.kind] - RANK[b.kind] || byDestination(a.item, b.item)
    ),
  };
}
