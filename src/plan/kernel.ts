import type { Address, Family } from "../ip/address.ts";
import type { Prefix } from "../ip/prefix.ts";

/** One route in the main table (254). `via` is absent for a link-scope route. */
export interface Route {
  readonly kind: "route";
  readonly destination: Prefix;
  readonly via?: Address;
  /** Name of the outgoing link. */
  readonly device: string;
  /** The gateway is taken to be on the link although no address says so (RTNH_F_ONLINK). */
  readonly onlink?: boolean;
  /** Absent, and absent from every plan: the family's default. A removal may have to name one. */
  readonly metric?: number;
}

/**
 * Something that a backend wants to stand in the kernel. Grows with the backends that need more
 * than routes: links, addresses, neighbours, forwarding entries.
 */
export type Wanted = Route;

/** A route as the kernel has it, ours or not. */
export interface KernelRoute {
  readonly destination: Prefix;
  readonly via?: Address;
  /** Empty for a route that goes nowhere (`blackhole`). */
  readonly device: string;
  readonly onlink: boolean;
  /** `rtm_protocol`: who made it (`linux/rtnetlink.h`, RTPROT_*). Ours is {@link ROUTE_PROTOCOL}. */
  readonly protocol: number;
  /** Lower wins; 0 when none was given (IPv6 shows 1024 for that). */
  readonly metric: number;
  /**
   * A unicast route with one next hop and nothing more, which is all that Denim makes. Others
   * (multipath, blackhole, nexthop objects) never equal a wanted route.
   */
  readonly plain: boolean;
}

export interface KernelLink {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  readonly mtu: number;
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

/** What one look at the kernel found: the main routing table, all links and their addresses. */
export interface KernelState {
  readonly links: readonly KernelLink[];
  readonly addresses: readonly KernelAddress[];
  readonly routes: readonly KernelRoute[];
}

/** One step towards the wanted state. A replacement is a delete and an add in one request. */
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
   * anybody else's route.
   */
  apply(changes: readonly Change[]): Promise<readonly Outcome[]>;
  /**
   * Calls back, coalesced, whenever links, addresses or routes changed, or may have (overrun).
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
