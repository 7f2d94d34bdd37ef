import type { HostAddress } from "../backend/backend.ts";
import { DenimError } from "../base/errors.ts";
import {
  type Address,
  equalAddress,
  type Family,
  formatAddress,
  ofFamily,
  tryParseAddress,
  widthOf,
} from "../ip/address.ts";
import {
  comparePrefix,
  containsAddress,
  equalPrefix,
  type Prefix,
  prefixOf,
} from "../ip/prefix.ts";
import {
  type KernelAddress,
  type KernelLink,
  type KernelRoute,
  type KernelState,
  ROUTE_PROTOCOL,
} from "../plan/kernel.ts";
import { networkOf } from "../plan/mark.ts";

/** What the operator said about the data interface. Everything may be absent. */
export interface InterfaceWish {
  /** `--iface`: a link's name, or an address that a link has. */
  readonly iface?: string;
  /** `--iface-regex`: matches an address of the link, or its name. */
  readonly ifaceRegex?: RegExp;
  /** `--iface-can-reach`: an address that is reached through it. */
  readonly canReach?: Address;
  /** `--public-ip` and `--public-ipv6`: what peers send to; behind NAT no link has them. */
  readonly publicIps?: readonly Address[];
  /** Nobody said it: the address of a server, which this host has to reach in any case. */
  readonly reach?: Address;
}

/** The interface that is in use: what can stay as it is does. */
export interface FormerInterface {
  readonly link: string;
  readonly addresses: readonly Address[];
}

export interface ChosenInterface {
  readonly link: KernelLink;
  /** One per family that was asked for, IPv4 first. */
  readonly addresses: readonly HostAddress[];
  /** What the link reaches without a router, sorted. */
  readonly onLink: readonly Prefix[];
  /** The rule that chose it, to go after "chosen". */
  readonly why: string;
}

export interface ChoiceOptions {
  /** Those of the network, IPv4 first: the interface has an address in each. */
  readonly families: readonly Family[];
  readonly former?: FormerInterface | undefined;
}

/**
 * Chooses the data interface, by the first rule that applies: its name or address, a pattern, what
 * it reaches, the public address that it has, the way to a server, the default route.
 *
 * @throws `INTERFACE_NOT_FOUND`
 */
export function chooseInterface(
  state: KernelState,
  wish: InterfaceWish,
  options: ChoiceOptions,
): ChosenInterface {
  const chooser = new Chooser(state, wish, options);
  const { link, why, neighbour } = byName(chooser) ?? byRegex(chooser) ??
    byReach(chooser, wish.canReach, "--iface-can-reach") ?? byPublicIp(chooser) ??
    byReach(chooser, wish.reach, "server") ?? byDefaultRoute(chooser);
  const addresses = options.families.map((family): HostAddress => {
    const { address } = chooser.addressOf(link, family, neighbour);
    const publicIp = ofFamily(wish.publicIps ?? [], family) ?? address;
    return { family, address, publicIp };
  });
  return { link, addresses, onLink: onLink(state, link), why };
}

interface Choice {
  readonly link: KernelLink;
  readonly why: string;
  /** An address that is to be reached: one that has it on its link comes first. */
  readonly neighbour?: Address;
}

function byName({ state, wish: { iface }, notFound }: Chooser): Choice | undefined {
  if (iface === undefined) return undefined;
  const address = tryParseAddress(iface);
  if (address !== undefined) {
    const link = holderOf(state, address);
    if (link !== undefined) return { link, why: `by its address, --iface ${iface}` };
    throw notFound(
      `Cannot find the interface with ${iface}`,
      "no link of this host has that address",
    );
  }
  const link = state.links.find((link) => link.name === iface);
  if (link !== undefined) return { link, why: `by its name, --iface ${iface}` };
  throw notFound(`Cannot find the interface "${iface}"`, "this host has no link of that name");
}

/** As with flannel an address that matches comes before a name that does. */
function byRegex(chooser: Chooser): Choice | undefined {
  const { state, wish: { ifaceRegex }, options: { families }, notFound } = chooser;
  if (ifaceRegex === undefined) return undefined;
  const usable = state.links.filter((link) => chooser.canUse(link));
  const link =
    usable.find((link) =>
      families.some((family) =>
        chooser.usable(link, family).some(({ address }) => ifaceRegex.test(formatAddress(address)))
      )
    ) ?? usable.find(({ name }) => ifaceRegex.test(name));
  const pattern = `--iface-regex ${ifaceRegex.source}`;
  if (link !== undefined) return { link, why: `by ${pattern}` };
  throw notFound(
    `Cannot find an interface for ${pattern}`,
    "it matches neither an address nor the name of a link that peers could reach",
  );
}

function byPublicIp({ state, wish }: Chooser): Choice | undefined {
  for (const publicIp of wish.publicIps ?? []) {
    const link = holderOf(state, publicIp);
    const why = `by its public address ${formatAddress(publicIp)}`;
    if (link !== undefined) return { link, why };
  }
  return undefined;
}

/**
 * That a server is reached by no route is no error in a host that has just started: the server may
 * have a name with an address of another family. It is one where the interface is known, since all
 * others are worse.
 */
function byReach(
  { state, options: { former }, notFound }: Chooser,
  target: Address | undefined,
  what: "server" | "--iface-can-reach",
): Choice | undefined {
  if (target === undefined) return undefined;
  const text = formatAddress(target);
  const route = routeTo(state.routes, target);
  const link = state.links.find((link) => link.name === route?.device);
  if (route === undefined || link === undefined) {
    if (what === "server" && former === undefined) return undefined;
    throw notFound(
      `Cannot find the interface that reaches ${text}`,
      "no route of the main table leads there",
    );
  }
  const why = what === "server" ? `as it reaches the server ${text}` : `by ${what} ${text}`;
  return { link, why, neighbour: route.via ?? target };
}

/**
 * With two families both should leave by one link; where they do not, one that has both serves. The
 * interface in use stays for as long as it has such a route: a VPN has a better one now and then.
 */
function byDefaultRoute(chooser: Chooser): Choice {
  const { state, options: { families, former }, notFound } = chooser;
  const links = families.flatMap((family) => {
    const routes = state.routes
      .filter((route) => route.destination.family === family && route.destination.length === 0)
      .filter((route) => route.device !== "")
      .sort((a, b) => a.metric - b.metric);
    const route = routes.find(({ device }) => device === former?.link) ?? routes[0];
    return state.links.filter((link) => link.name === route?.device);
  });
  const link = links.find((link) => chooser.canUse(link)) ?? links[0];
  if (link !== undefined) return { link, why: "by the default route" };
  throw notFound(
    "Cannot tell which interface the nodes are reached through",
    `there is no default route for ${families.map((family) => `IPv${family}`).join(" or ")}`,
  );
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

function holderOf(state: KernelState, wanted: Address): KernelLink | undefined {
  const address = state.addresses.find(({ address }) => equalAddress(address, wanted));
  return state.links.find((link) => link.index === address?.linkIndex);
}

/**
 * By the link's addresses, also while it is down and has lost its routes, and by routes without a
 * gateway, which is how clouds that give out single addresses tell what is near.
 */
function onLink(state: KernelState, link: KernelLink): readonly Prefix[] {
  const near = [
    ...state.addresses
      .filter(({ linkIndex, address, length }) =>
        linkIndex === link.index && length < widthOf(address.family)
      )
      .map(({ address, length }) => prefixOf(address, length)),
    ...state.routes
      .filter(({ device, via, plain, protocol }) =>
        device === link.name && via === undefined && plain && protocol !== ROUTE_PROTOCOL
      )
      .map(({ destination }) => destination),
  ].sort(comparePrefix);
  return near.filter((block, i) => i === 0 || !equalPrefix(block, near[i - 1]!));
}

/** Which addresses of a link may be taken, and which is taken. */
class Chooser {
  readonly state: KernelState;
  readonly wish: InterfaceWish;
  readonly options: ChoiceOptions;

  constructor(state: KernelState, wish: InterfaceWish, options: ChoiceOptions) {
    this.state = state;
    this.wish = wish;
    this.options = options;
  }

  canUse(link: KernelLink): boolean {
    return networkOf(link) === undefined &&
      this.options.families.every((family) => this.usable(link, family).length > 0);
  }

  /**
   * Temporary (RFC 8981) and unverified addresses, and those of the host alone, are never taken:
   * they go away, or nobody else can reach them; and a deprecated one only where there is no other.
   * A link-local one will do as a next hop, but nobody can connect to it without naming a link of
   * theirs: so not as the only one.
   */
  usable(link: KernelLink, family: Family): readonly KernelAddress[] {
    const alone = this.options.families.length === 1;
    const reachable = this.state.addresses
      .filter(({ linkIndex, address }) => linkIndex === link.index && address.family === family)
      .filter(({ scope }) => scope !== "host" && !(alone && scope === "link"))
      .filter(({ flags }) => !flags.temporary && !flags.tentative);
    const lasting = reachable.filter(({ flags }) => !flags.deprecated);
    return lasting.length > 0 ? lasting : reachable;
  }

  /**
   * The one to be known by. A public one comes first, then the one that is in use; then one whose
   * on-link prefix has the neighbour, one with a prefix before a lone one, which may be passed from
   * host to host (keepalived); global before link-local, lasting before leased.
   *
   * @throws `INTERFACE_NOT_FOUND` when the link has no usable address of the family
   */
  addressOf(link: KernelLink, family: Family, neighbour?: Address): KernelAddress {
    const { wish: { iface, publicIps = [] }, options: { former } } = this;
    const named = iface === undefined ? undefined : tryParseAddress(iface);
    const isOneOf = (address: Address, all: readonly (Address | undefined)[]) =>
      all.some((one) => one !== undefined && equalAddress(one, address));
    const nears = ({ address, length }: KernelAddress) =>
      neighbour !== undefined && containsAddress(prefixOf(address, length), neighbour);
    const used = former?.link === link.name ? former.addresses : [];
    const rank = (address: KernelAddress) =>
      (isOneOf(address.address, [named, ...publicIps]) ? 0 : 32) +
      (isOneOf(address.address, used) ? 0 : 16) + (nears(address) ? 0 : 8) +
      (address.length < widthOf(family) ? 0 : 4) +
      (address.scope === "global" ? 0 : 2) + (address.flags.permanent ? 0 : 1);
    const best = [...this.usable(link, family)].sort((a, b) => rank(a) - rank(b))[0];
    if (best !== undefined) return best;
    throw this.notFound(
      `Cannot use the interface "${link.name}"`,
      `it has no usable IPv${family} address`,
    );
  }

  readonly notFound = (message: string, why: string): DenimError => {
    const { families } = this.options;
    const candidates = this.state.links.filter((link) => this.canUse(link)).map((link) => {
      const addresses = families.map((family) => this.addressOf(link, family).address);
      return `${link.name} (${addresses.map(formatAddress).join(", ")})`;
    });
    const both = families.map((family) => `an IPv${family}`).join(" and ");
    const fix = candidates.length > 0
      ? `name one with --iface: ${candidates.join(", ")}`
      : `give a link ${both} address first; none has one that peers could reach`;
    return new DenimError("INTERFACE_NOT_FOUND", message, { why, fix });
  };
}
