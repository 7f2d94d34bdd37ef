import { MemoryLinks } from "./memory-links.ts";
import { type Address, equalAddress, widthOf } from "../ip/address.ts";
import { containsAddress, equalPrefix, formatPrefix, prefixOf } from "../ip/prefix.ts";
import {
  type Change,
  defaultMetric,
  type Kernel,
  type KernelAddress,
  type KernelForwarding,
  type KernelLink,
  type KernelNeighbour,
  type KernelRoute,
  type KernelState,
  type Outcome,
  ROUTE_PROTOCOL,
} from "../plan/kernel.ts";
import { networkOf } from "../plan/mark.ts";
import type { ForwardingEntry, LinkAddress, Neighbour, OnLink, Route } from "../plan/wanted.ts";
import { MemoryEntries } from "./memory-entries.ts";

/** `linux/rtnetlink.h`: the routes that follow from addresses. */
const RTPROT_KERNEL = 2;

const FAILURES = {
  exists: "EEXIST: File exists",
  notFound: "ESRCH: No such process",
  noAddress: "EADDRNOTAVAIL: Cannot assign requested address",
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
  readonly #links = new MemoryLinks();
  readonly #entries = new MemoryEntries();
  #addresses: KernelAddress[] = [];
  readonly #routes = new Map<string, KernelRoute>();
  readonly #watchers = new Set<() => void>();
  #notified = false;
  /** Every change that was applied with success, in order. */
  readonly applied: Change[] = [];

  async read(): Promise<KernelState> {
    const isOurs = ({ device }: { readonly device: string }) => this.#isMarked(device);
    return {
      links: this.#links.all,
      addresses: [...this.#addresses],
      neighbours: this.#entries.neighbours.filter(isOurs),
      forwarding: this.#entries.forwarding.filter(isOurs),
      routes: this.routes,
    };
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
    this.#links.put({ name, up: true, mtu: options.mtu ?? 1500 });
    for (const address of options.addresses ?? []) this.addAddress(name, address);
    this.#notify();
  }

  link(name: string): KernelLink | undefined {
    return this.#links.get(name);
  }

  /** One that somebody else makes, or changes in some way, where it is there. */
  putLink(name: string, as: Partial<Omit<KernelLink, "name" | "index">>): void {
    this.#links.put({ up: false, mtu: 1500, ...this.#links.get(name), ...as, name });
    this.#notify();
  }

  addAddress(device: string, address: HostAddress): void {
    this.#giveAddress(device, address);
    this.#notify();
  }

  dropAddress(device: string, address: HostAddress): void {
    this.#takeAddress({ device, ...address });
    this.#notify();
  }

  /** An entry that somebody else makes, or the traffic. */
  putEntry(entry: KernelNeighbour | KernelForwarding): void {
    this.#entries.put(entry);
    this.#notify();
  }

  dropEntry(entry: Neighbour | ForwardingEntry): void {
    this.#entries.drop(entry);
    this.#notify();
  }

  /** With the route that follows from it. */
  #giveAddress(device: string, { address, length }: HostAddress): void {
    const link = this.#links.get(device)!;
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
  }

  #takeAddress({ device, address, length }: Omit<LinkAddress, "kind">): boolean {
    const index = this.#links.get(device)?.index;
    const before = this.#addresses.length;
    this.#addresses = this.#addresses.filter((one) =>
      one.linkIndex !== index || one.length !== length || !equalAddress(one.address, address)
    );
    for (const [key, route] of this.#routes) {
      const follows = route.protocol === RTPROT_KERNEL && route.device === device &&
        length < widthOf(address.family) &&
        equalPrefix(route.destination, prefixOf(address, length));
      if (follows) this.#routes.delete(key);
    }
    return this.#addresses.length < before;
  }

  /** A link goes, and its addresses and routes with it, as in Linux: without a word about those. */
  removeLink(name: string): void {
    this.#forget(this.#links.remove(name));
    this.#notify();
  }

  /** Down takes the routes along; up brings back only those that follow from addresses. */
  setLink(name: string, state: "up" | "down"): void {
    const up = state === "up";
    const { index } = this.#links.get(name)!;
    this.#links.put({ ...this.#links.get(name)!, up });
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
    const { kind, item } = change;
    if (item.kind === "link") {
      const old = kind === "replace" && change.old.kind === "link" ? change.old : item;
      const { error, lost } = this.#links.apply(kind, item, old);
      this.#forget(lost);
      return error;
    }
    if (item.kind !== "route") return this.#applyOnLink(change, item);
    if (kind === "add") return this.#add(item);
    if (kind === "remove") return this.#remove(item);
    if (!item.unreachable && this.#linkOf(item) === undefined) return FAILURES.noDevice;
    this.#remove(change.old as Route);
    return this.#add(item);
  }

  /** Only on a link that carries Denim's mark. */
  #applyOnLink(change: Change, item: OnLink): string | undefined {
    const link = this.#links.get(item.device);
    if (link === undefined) return `${FAILURES.noDevice} ("${item.device}")`;
    if (networkOf(link) === undefined) return `${item.device} does not carry Denim's mark`;
    if (item.kind !== "address") return this.#entries.apply(change.kind, item);
    const isThere = () =>
      this.#addresses.some(({ linkIndex, address, length }) =>
        linkIndex === link.index && equalAddress(address, item.address) &&
        (item.address.family === 6 || length === item.length)
      );
    if (change.kind === "replace") this.#takeAddress(change.old as LinkAddress);
    if (change.kind === "remove") {
      return this.#takeAddress(item) ? undefined : FAILURES.noAddress;
    }
    if (isThere()) return FAILURES.exists;
    this.#giveAddress(item.device, item);
    return undefined;
  }

  #isMarked(device: string): boolean {
    const link = this.#links.get(device);
    return link !== undefined && networkOf(link) !== undefined;
  }

  #add(item: Route): string | undefined {
    const link = this.#linkOf(item);
    if (link === undefined && !item.unreachable) return `${FAILURES.noDevice} ("${item.device}")`;
    if (link?.up === false) return FAILURES.deviceDown;
    const route = found(item, ROUTE_PROTOCOL);
    if (item.via !== undefined && !item.onlink && !this.#onLink(item.via, item.device)) {
      return item.via.family === 4 ? FAILURES.gateway : FAILURES.gatewayIpv6;
    }
    if (this.#routes.has(keyOf(route))) return FAILURES.exists;
    this.#put(route);
    return undefined;
  }

  #linkOf({ device }: Route): KernelLink | undefined {
    return this.#links.get(device);
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

  /** What was on links that are gone. */
  #forget(links: readonly KernelLink[]): void {
    for (const { name, index } of links) {
      this.#addresses = this.#addresses.filter((address) => address.linkIndex !== index);
      this.#dropRoutesOf(name);
      this.#entries.dropAllOf(name);
    }
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
    kind: "route",
    destination: route.destination,
    ...(route.via === undefined ? {} : { via: route.via }),
    device: route.device,
    ...(route.unreachable ? { unreachable: true } : {}),
    onlink: route.onlink === true,
    protocol,
    metric: route.metric ?? defaultMetric(route.destination.family),
    plain: true,
  };
}

function keyOf(route: KernelRoute): string {
  return `${formatPrefix(route.destination)} ${route.metric}`;
}
