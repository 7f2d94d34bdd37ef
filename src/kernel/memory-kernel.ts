import { type Address, equalAddress, widthOf } from "../ip/address.ts";
import { containsAddress, equalPrefix, formatPrefix, prefixOf } from "../ip/prefix.ts";
import {
  type Change,
  defaultMetric,
  type Kernel,
  type KernelAddress,
  type KernelLink,
  type KernelRoute,
  type KernelState,
  type Outcome,
  type Route,
  ROUTE_PROTOCOL,
} from "../plan/kernel.ts";

/** `linux/rtnetlink.h`: the routes that follow from addresses. */
const RTPROT_KERNEL = 2;

const FAILURES = {
  exists: "EEXIST: File exists",
  notFound: "ESRCH: No such process",
  noDevice: "ENODEV: No such device",
  deviceDown: "ENETDOWN: Device for nexthop is not up",
  gateway: "ENETUNREACH: Nexthop has invalid gateway",
  gatewayIpv6: "EHOSTUNREACH: No route to host",
} as const;

/**
 * A kernel in a map, for tests, the simulator and many agents in one process. It refuses what
 * Linux refuses: a second route for a prefix and metric, a gateway that no on-link route reaches,
 * a removal of what carries another protocol. A test plays the rest of the machine.
 */
export class MemoryKernel implements Kernel {
  #links: KernelLink[] = [];
  #addresses: KernelAddress[] = [];
  readonly #routes = new Map<string, KernelRoute>();
  readonly #watchers = new Set<() => void>();
  #notified = false;
  /** Every change that was applied with success, in order. */
  readonly applied: Change[] = [];

  async read(): Promise<KernelState> {
    return { links: [...this.#links], addresses: [...this.#addresses], routes: this.routes };
  }

  async apply(changes: readonly Change[]): Promise<readonly Outcome[]> {
    return changes.map((change) => {
      const error = this.#applyOne(change);
      if (error === undefined) this.applied.push(change);
      return error === undefined ? { change } : { change, error };
    });
  }

  watch(onChange: () => void): () => void {
    // An own function each time, so that one caller may watch twice.
    const watcher = () => onChange();
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watchers.clear();
  }

  get routes(): KernelRoute[] {
    return [...this.#routes.values()];
  }

  /** A link that is up, with the routes that its addresses bring. */
  addLink(name: string, options: { addresses?: readonly HostAddress[]; mtu?: number } = {}): void {
    const index = Math.max(1, ...this.#links.map((link) => link.index)) + 1;
    this.#links.push({ index, name, up: true, mtu: options.mtu ?? 1500 });
    for (const address of options.addresses ?? []) this.addAddress(name, address);
    this.#notify();
  }

  addAddress(device: string, { address, length }: HostAddress): void {
    const link = this.#links.find((link) => link.name === device)!;
    this.#addresses.push({
      linkIndex: link.index,
      address,
      length,
      scope: "global",
      flags: { deprecated: false, temporary: false, permanent: true, tentative: false },
    });
    if (length < widthOf(address.family)) {
      const route: Route = { kind: "route", destination: prefixOf(address, length), device };
      this.#put(found(route, RTPROT_KERNEL));
    }
    this.#notify();
  }

  /** A link goes, and its addresses and routes with it, as in Linux: without a word about those. */
  removeLink(name: string): void {
    const index = this.#links.find((link) => link.name === name)?.index;
    this.#links = this.#links.filter((link) => link.name !== name);
    this.#addresses = this.#addresses.filter((address) => address.linkIndex !== index);
    this.#dropRoutesOf(name);
    this.#notify();
  }

  /** Down takes the routes along; up brings back only those that follow from addresses. */
  setLink(name: string, state: "up" | "down"): void {
    const up = state === "up";
    this.#links = this.#links.map((link) => link.name === name ? { ...link, up } : link);
    const index = this.#links.find((link) => link.name === name)!.index;
    if (!up) this.#dropRoutesOf(name);
    for (const { linkIndex, address, length } of this.#addresses) {
      if (!up || linkIndex !== index || length === widthOf(address.family)) continue;
      const destination = prefixOf(address, length);
      this.#put(found({ kind: "route", destination, device: name }, RTPROT_KERNEL));
    }
    this.#notify();
  }

  /** A route that somebody else makes, by any means; replaces one of the same prefix and metric. */
  putRoute(route: Route, options: { protocol: number }): void {
    this.#put(found(route, options.protocol));
    this.#notify();
  }

  /** Somebody else takes every route for the prefix away. */
  dropRoute(destination: Route["destination"]): void {
    for (const [key, route] of this.#routes) {
      if (equalPrefix(route.destination, destination)) this.#routes.delete(key);
    }
    this.#notify();
  }

  #applyOne(change: Change): string | undefined {
    switch (change.kind) {
      case "add":
        return this.#add(change.item);
      case "remove":
        return this.#remove(change.item);
      case "replace":
        if (!this.#links.some((link) => link.name === change.item.device)) {
          return FAILURES.noDevice;
        }
        this.#remove(change.old);
        return this.#add(change.item);
      default:
        return change satisfies never;
    }
  }

  #add(item: Route): string | undefined {
    const link = this.#links.find((link) => link.name === item.device);
    if (link === undefined) return `${FAILURES.noDevice} ("${item.device}")`;
    if (!link.up) return FAILURES.deviceDown;
    const route = found(item, ROUTE_PROTOCOL);
    if (item.via !== undefined && !item.onlink && !this.#onLink(item.via, item.device)) {
      return item.via.family === 4 ? FAILURES.gateway : FAILURES.gatewayIpv6;
    }
    if (this.#routes.has(keyOf(route))) return FAILURES.exists;
    this.#put(route);
    return undefined;
  }

  #remove(item: Route): string | undefined {
    for (const [key, route] of this.#routes) {
      const same = equalPrefix(route.destination, item.destination) &&
        route.protocol === ROUTE_PROTOCOL && route.device === item.device &&
        route.metric === (item.metric ?? defaultMetric(item.destination.family)) &&
        (item.via === undefined ||
          (route.via !== undefined && equalAddress(route.via, item.via)));
      if (same) {
        this.#routes.delete(key);
        return undefined;
      }
    }
    return FAILURES.notFound;
  }

  /** A gateway must be reached through a route without a gateway, on the same link. */
  #onLink(gateway: Address, device: string): boolean {
    return this.routes.some((route) =>
      route.device === device && route.via === undefined &&
      containsAddress(route.destination, gateway)
    );
  }

  #dropRoutesOf(device: string): void {
    for (const [key, route] of this.#routes) {
      if (route.device === device) this.#routes.delete(key);
    }
  }

  #put(route: KernelRoute): void {
    this.#routes.set(keyOf(route), route);
  }

  /** Coalesced, and later, as from the real one; own changes are not told. */
  #notify(): void {
    if (this.#notified) return;
    this.#notified = true;
    queueMicrotask(() => {
      this.#notified = false;
      for (const watcher of [...this.#watchers]) watcher();
    });
  }
}

/** An address with the bits of its on-link prefix. */
export interface HostAddress {
  readonly address: Address;
  readonly length: number;
}

function found(route: Route, protocol: number): KernelRoute {
  return {
    destination: route.destination,
    ...(route.via === undefined ? {} : { via: route.via }),
    device: route.device,
    onlink: route.onlink === true,
    protocol,
    metric: route.metric ?? defaultMetric(route.destination.family),
    plain: true,
  };
}

function keyOf(route: KernelRoute): string {
  return `${formatPrefix(route.destination)} ${route.metric}`;
}
