import {
  defaultMetric,
  EMPTY_KERNEL,
  type KernelLink,
  type KernelRoute,
  type KernelState,
  ROUTE_PROTOCOL,
} from "../../plan/kernel.ts";
import { aliasOf, LINK_GROUP } from "../../plan/mark.ts";
import type { Link, Route, Wanted } from "../../plan/wanted.ts";

const FLAGS = { deprecated: false, temporary: false, permanent: true, tentative: false } as const;

/** An empty kernel, once everything in a plan stands there. */
export function kernelAfter(wanted: readonly Wanted[]): KernelState {
  const links = wanted.filter((item) => item.kind === "link").map(linkOf);
  const indexOf = new Map(links.map(({ name, index }) => [name, index]));
  return {
    ...EMPTY_KERNEL,
    links,
    routes: wanted.filter((item) => item.kind === "route").map(routeOf),
    addresses: wanted.filter((item) => item.kind === "address").map((item) => ({
      ...{ linkIndex: indexOf.get(item.device) ?? 0, address: item.address, length: item.length },
      ...{ scope: "global" as const, flags: FLAGS },
    })),
    neighbours: wanted.filter((item) => item.kind === "neighbour")
      .map((item) => ({ ...item, permanent: true })),
    forwarding: wanted.filter((item) => item.kind === "forwarding")
      .map((item) => ({ ...item, permanent: true, plain: true })),
  };
}

function linkOf({ name, network, mac, mtu, tunnel }: Link, i: number): KernelLink {
  const mark = { group: LINK_GROUP, alias: aliasOf(network) };
  const detail = { mac, ...mark, ...(tunnel === undefined ? {} : { tunnel }) };
  return { index: 100 + i, name, up: true, mtu, detail };
}

function routeOf(route: Route): KernelRoute {
  const { onlink = false, metric = defaultMetric(route.destination.family) } = route;
  return { ...route, onlink, metric, protocol: ROUTE_PROTOCOL, plain: true };
}
