import { DenimError } from "../base/errors.ts";
import {
  type Address,
  equalAddress,
  type Family,
  formatAddress,
  tryParseAddress,
} from "../ip/address.ts";
import { containsAddress, prefixOf } from "../ip/prefix.ts";
import type { KernelAddress, KernelLink, KernelRoute, KernelState } from "../plan/kernel.ts";

/** What the operator said about the data interface. Everything may be absent. */
export interface InterfaceWish {
  /** `--iface`: a link's name, or an address that a link has. */
  readonly iface?: string;
  /** `--public-ip`: what peers send to; behind NAT no link has it. */
  readonly publicIp?: Address;
  /** An address that must be reachable through it, for example a peer's. */
  readonly reach?: Address;
  /** 4 if nothing is said. */
  readonly family?: Family;
}

export interface ChosenInterface {
  readonly link: KernelLink;
  readonly address: Address;
  /** Bits of the on-link prefix of `address`. */
  readonly addressLength: number;
  readonly publicIp: Address;
}

/**
 * Chooses the data interface: the one that was named, else the one that has the public address,
 * else the one that reaches a given address, else that of the default route.
 *
 * @throws `INTERFACE_NOT_FOUND`
 */
export function chooseInterface(state: KernelState, wish: InterfaceWish): ChosenInterface {
  const family = wish.publicIp?.family ?? wish.family ?? 4;
  const choice = byName(state, wish, family) ?? byPublicIp(state, wish) ??
    byReach(state, wish) ?? byDefaultRoute(state, family);
  return {
    link: choice.link,
    address: choice.address.address,
    addressLength: choice.address.length,
    publicIp: wish.publicIp ?? choice.address.address,
  };
}

interface Choice {
  readonly link: KernelLink;
  readonly address: KernelAddress;
}

function byName(state: KernelState, wish: InterfaceWish, family: Family): Choice | undefined {
  if (wish.iface === undefined) return undefined;
  const address = tryParseAddress(wish.iface);
  if (address !== undefined) {
    const holder = holderOf(state, address);
    if (holder === undefined) {
      throw notFound(state, `Cannot find the interface with ${wish.iface}`, {
        why: "no link of this host has that address",
        family: address.family,
      });
    }
    return holder;
  }
  const link = state.links.find((link) => link.name === wish.iface);
  if (link === undefined) {
    const why = "this host has no link of that name";
    throw notFound(state, `Cannot find the interface "${wish.iface}"`, { why, family });
  }
  return withAddress(state, link, family);
}

function byPublicIp(state: KernelState, wish: InterfaceWish): Choice | undefined {
  return wish.publicIp === undefined ? undefined : holderOf(state, wish.publicIp);
}

function byReach(state: KernelState, wish: InterfaceWish): Choice | undefined {
  const target = wish.reach;
  if (target === undefined) return undefined;
  const route = routeTo(state.routes, target);
  const link = state.links.find((link) => link.name === route?.device);
  if (route === undefined || link === undefined) {
    throw notFound(state, `Cannot find the interface that reaches ${formatAddress(target)}`, {
      why: "no route of the main table leads there",
      family: target.family,
    });
  }
  return withAddress(state, link, target.family, route.via ?? target);
}

function byDefaultRoute(state: KernelState, family: Family): Choice {
  const route = state.routes
    .filter((route) => route.destination.family === family && route.destination.length === 0)
    .filter((route) => route.device !== "")
    .sort((a, b) => a.metric - b.metric)[0];
  const link = state.links.find((link) => link.name === route?.device);
  if (link === undefined) {
    throw notFound(state, "Cannot tell which interface the nodes are reached through", {
      why: `there is no default route for IPv${family}`,
      family,
    });
  }
  return withAddress(state, link, family);
}

/** The route that the kernel would take: the longest prefix, then the lowest metric. */
export function routeTo(
  routes: readonly KernelRoute[],
  target: Address,
): KernelRoute | undefined {
  return routes
    .filter((route) => route.device !== "" && containsAddress(route.destination, target))
    .sort((a, b) => b.destination.length - a.destination.length || a.metric - b.metric)[0];
}

function holderOf(state: KernelState, wanted: Address): Choice | undefined {
  const address = state.addresses.find(({ address }) => equalAddress(address, wanted));
  const link = state.links.find((link) => link.index === address?.linkIndex);
  return address === undefined || link === undefined ? undefined : { link, address };
}

/** @throws `INTERFACE_NOT_FOUND` when the link has no usable address of the family */
function withAddress(
  state: KernelState,
  link: KernelLink,
  family: Family,
  neighbour?: Address,
): Choice {
  const address = bestAddress(state, link, family, neighbour);
  if (address !== undefined) return { link, address };
  throw notFound(state, `Cannot use the interface "${link.name}"`, {
    why: `it has no usable IPv${family} address`,
    family,
  });
}

/**
 * The address to be known by. One whose on-link prefix has the neighbour comes first; then global
 * before link-local, lasting before leased. Deprecated, temporary (RFC 8981) and unverified ones,
 * and those of the host alone, are never taken: they go away, or nobody else can reach them.
 */
function bestAddress(
  state: KernelState,
  link: KernelLink,
  family: Family,
  neighbour?: Address,
): KernelAddress | undefined {
  const nears = (address: KernelAddress) =>
    neighbour !== undefined &&
    containsAddress(prefixOf(address.address, address.length), neighbour);
  const rank = (address: KernelAddress) =>
    (nears(address) ? 0 : 4) + (address.scope === "global" ? 0 : 2) +
    (address.flags.permanent ? 0 : 1);
  return state.addresses
    .filter(({ linkIndex, address }) => linkIndex === link.index && address.family === family)
    .filter(({ scope }) => scope !== "host")
    .filter(({ flags }) => !flags.deprecated && !flags.temporary && !flags.tentative)
    .sort((a, b) => rank(a) - rank(b))[0];
}

function notFound(
  state: KernelState,
  message: string,
  options: { why: string; family: Family },
): DenimError {
  const candidates = state.links.flatMap((link) => {
    const best = bestAddress(state, link, options.family);
    return best === undefined ? [] : [`${link.name} (${formatAddress(best.address)})`];
  });
  const fix = candidates.length > 0
    ? `name one with --iface: ${candidates.join(", ")}`
    : `give a link an IPv${options.family} address first; none has one that peers could reach`;
  return new DenimError("INTERFACE_NOT_FOUND", message, { why: options.why, fix });
}
