import { type Address, equalAddress } from "../ip/address.ts";
import { contains, type Prefix } from "../ip/prefix.ts";
import type { DiffOptions, Part } from "./difference.ts";
import { type Change, defaultMetric, type KernelRoute, ROUTE_PROTOCOL } from "./kernel.ts";
import { SubjectMap } from "./subject.ts";
import type { Route } from "./wanted.ts";

/** Ours carry our protocol *and* lie inside a network of ours; a difference has one part for each. */
export function diffRoutes(
  wanted: readonly Route[],
  actual: readonly KernelRoute[],
  options: DiffOptions,
): Part[] {
  const found = new SubjectMap<KernelRoute[]>();
  for (const route of actual) {
    const same = found.get(route);
    if (same === undefined) found.set(route, [route]);
    else same.push(route);
  }
  const parts: Part[] = [];
  const seen = new SubjectMap<Route>();
  for (const item of wanted) {
    if (seen.has(item)) {
      parts.push(conflict(item, "another route for the same destination is wanted already"));
    } else {
      parts.push(compare(item, found.get(item) ?? [], options));
    }
    seen.set(item, item);
  }
  for (const routes of found.values()) {
    if (seen.has(routes[0]!)) continue;
    for (const route of routes) {
      if (isOurs(route, options.networks)) parts.push(extra(route, options));
    }
  }
  return parts;
}

/** Ours: the protocol says so, and the destination lies in a network that we ever programmed. */
function isOurs(route: KernelRoute, networks: readonly Prefix[]): boolean {
  return route.protocol === ROUTE_PROTOCOL &&
    networks.some((network) => contains(network, route.destination));
}

function compare(item: Route, found: readonly KernelRoute[], options: DiffOptions): Part {
  const { destination } = item;
  if (!options.networks.some((network) => contains(network, destination))) {
    return conflict(item, "it lies outside every network of this host");
  }
  // They are for the same destination, and that lies in a network of ours: see isOurs.
  const ours = found.filter((route) => route.protocol === ROUTE_PROTOCOL);
  const foreign = found.find((route) => route.protocol !== ROUTE_PROTOCOL);
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
      item: { about: item, state: "conflict", wanted: item, actual: foreign, why },
      changes,
    };
  }
  const state = inPlace ? "ok" : first ? "different" : "missing";
  const shown = inPlace ?? first;
  return {
    item: { about: item, state, wanted: item, ...(shown ? { actual: shown } : {}) },
    changes,
  };
}

function extra(route: KernelRoute, options: DiffOptions): Part {
  return {
    item: { about: route, state: "extra", actual: route },
    changes: options.mode === "full" ? [{ kind: "remove", item: asRoute(route) }] : [],
  };
}

function conflict(wanted: Route, why: string): Part {
  return { item: { about: wanted, state: "conflict", wanted, why }, changes: [] };
}

function isAsWanted(wanted: Route, route: KernelRoute): boolean {
  return route.plain && route.device === wanted.device && sameAddress(route.via, wanted.via) &&
    (route.unreachable === true) === (wanted.unreachable === true) &&
    route.onlink === (wanted.onlink === true) &&
    route.metric === metricOf(wanted);
}

function metricOf(wanted: Route): number {
  return wanted.metric ?? defaultMetric(wanted.destination.family);
}

function sameAddress(a: Address | undefined, b: Address | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalAddress(a, b);
}

/** A route of ours as something that can be removed. */
function asRoute(route: KernelRoute): Route {
  const { destination, via, device, onlink, metric, unreachable } = route;
  return {
    kind: "route",
    destination,
    ...(via === undefined ? {} : { via }),
    device,
    ...(onlink ? { onlink } : {}),
    ...(unreachable ? { unreachable } : {}),
    ...(metric === defaultMetric(destination.family) ? {} : { metric }),
  };
}
