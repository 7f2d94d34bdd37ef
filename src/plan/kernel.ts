import type { Address, Family } from "../ip/address.ts";
import type { Mac } from "../ip/mac.ts";
import type { ForwardingEntry, Neighbour, Route, Vxlan, Wanted } from "./wanted.ts";

/** A route as the kernel has it, ours or not. */
export interface KernelRoute extends Route {
  /** Empty for a route that goes nowhere (`blackhole`, `unreachable`). */
  readonly device: string;
  readonly onlink: boolean;
  /** `rtm_protocol`: who made it (`linux/rtnetlink.h`, RTPROT_*). Ours is {@link ROUTE_PROTOCOL}. */
  readonly protocol: number;
  /** Lower wins; 0 when none was given (IPv6 shows 1024 for that). */
  readonly metric: number;
  /**
   * A unicast route with one next hop and nothing more, or one that is unreachable: all that Denim
   * makes. Others (multipath, blackhole, nexthop objects) never equal a wanted route.
   */
  readonly plain: boolean;
}

export interface KernelLink {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  readonly mtu: number;
  /** Of a link whose name is one that Denim gives; others' are nobody's business here. */
  readonly detail?: LinkDetail;
}

export interface LinkDetail {
  readonly mac: Mac;
  /** `ip link … group`; 0 where nobody has said anything. */
  readonly group: number;
  /** `ip link … alias`; empty where nobody has said anything. */
  readonly alias: string;
  /** Absent where it is another sort of link, or does what no plan can want. */
  readonly tunnel?: Vxlan;
}

export interface KernelAddress {
  readonly linkIndex: number;
  readonly address: Address;
  /** Bits of the on-link prefix. */
  readonly length: number;
  readonly scope: "global" | "link" | "host" | "other";
  readonly flags: {
    readonly deprecated: boolean;
    /** An IPv6 privacy address (RFC 8981). */
    readonly temporary: boolean;
    /** Without a lifetime; an address from DHCP usually has one. */
    readonly permanent: boolean;
    /** Duplicate detection has not ended yet. */
    readonly tentative: boolean;
  };
}

/** An entry of a link of Denim's, whoever made it. */
export interface KernelNeighbour extends Omit<Neighbour, "mac"> {
  /** Absent while it is asked for. */
  readonly mac?: Mac;
  /** The kernel does not let it go by itself; traffic makes others. */
  readonly permanent: boolean;
}

/** An entry of a link of Denim's, whoever made it. */
export interface KernelForwarding extends Omit<ForwardingEntry, "remote"> {
  /** Absent where it leads to no address, but to a nexthop object. */
  readonly remote?: Address;
  /** The kernel does not let it go by itself; traffic makes others where a link learns. */
  readonly permanent: boolean;
  /** By the link's own port, VNI and underlay: all that Denim makes. */
  readonly plain: boolean;
}

/**
 * What one look at the kernel found: the main routing table, all links and their addresses; of
 * links with Denim's mark, neighbours and forwarding entries, too.
 */
export interface KernelState {
  readonly links: readonly KernelLink[];
  readonly addresses: readonly KernelAddress[];
  readonly neighbours: readonly KernelNeighbour[];
  readonly forwarding: readonly KernelForwarding[];
  readonly routes: readonly KernelRoute[];
}

export const EMPTY_KERNEL: KernelState = {
  ...{ links: [], addresses: [], neighbours: [], forwarding: [], routes: [] },
};

/**
 * One step towards the wanted state. A replacement is a delete and an add in one request, of two
 * things of one kind; a link may also become the other.
 */
export type Change =
  | { readonly kind: "add"; readonly item: Wanted }
  | { readonly kind: "remove"; readonly item: Wanted }
  | { readonly kind: "replace"; readonly item: Wanted; readonly old: Wanted };

/** What became of one change. `error` is the kernel's own sentence where it gave one. */
export interface Outcome {
  readonly change: Change;
  readonly error?: string;
}

/**
 * The kernel as the reconciler sees it. Drivers: `kernel/linux-kernel.ts` over netlink,
 * `kernel/memory-kernel.ts` for tests and simulation. Both pass `test/contract/kernel.ts`.
 */
export interface Kernel extends AsyncDisposable {
  read(): Promise<KernelState>;
  /**
   * Applies each change on its own; a failing one does not stop the others. Adds never overwrite
   * (NLM_F_CREATE|NLM_F_EXCL), removals carry our protocol so that the kernel refuses to touch
   * anybody else's route, and a link without the whole mark is not touched, nor what is on it.
   */
  apply(changes: readonly Change[]): Promise<readonly Outcome[]>;
  /**
   * Calls back, coalesced, whenever links, addresses, routes, or neighbours and forwarding entries of
   * links of Denim's changed, or may have (overrun).
   * It says only that it is time to look again. The result stops it.
   */
  watch(onChange: () => void): () => void;
}

/** `rtm_protocol` of every route that Denim makes; named in `/etc/iproute2/rt_protos.d/denim.conf`. */
export const ROUTE_PROTOCOL = 68;

/** What the kernel stores for a route that names no metric (`linux/ipv6_route.h`, IP6_RT_PRIO_USER). */
export function defaultMetric(family: Family): number {
  return family === 4 ? 0 : 1024;
}
