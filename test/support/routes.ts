import { parseAddress } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import {
  defaultMetric,
  EMPTY_KERNEL,
  type KernelRoute,
  type KernelState,
  ROUTE_PROTOCOL,
} from "../../src/plan/kernel.ts";
import type { Route } from "../../src/plan/wanted.ts";

/** `10.42.2.0/24`, `10.0.0.2`: a wanted route, by `eth0` if nothing else is said. */
export function route(destination: string, via?: string, device = "eth0"): Route {
  return {
    kind: "route",
    destination: parsePrefix(destination),
    ...(via === undefined ? {} : { via: parseAddress(via) }),
    device,
  };
}

/** The same as the kernel has it; ours if nothing else is said. */
export function kernelRoute(
  destination: string,
  via?: string,
  options: Partial<KernelRoute> = {},
): KernelRoute {
  const rest = route(destination, via);
  const metric = defaultMetric(rest.destination.family);
  return { ...rest, onlink: false, protocol: ROUTE_PROTOCOL, metric, plain: true, ...options };
}

/** A kernel of which only the routes matter. */
export function kernelWith(routes: readonly KernelRoute[]): KernelState {
  return { ...EMPTY_KERNEL, routes };
}
