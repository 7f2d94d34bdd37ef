import type { Address } from "../ip/address.ts";
import type { Mac } from "../ip/mac.ts";
import type { Prefix } from "../ip/prefix.ts";

/** One route in the main table (254). `via` is absent for a link-scope route. */
export interface Route {
  readonly kind: "route";
  readonly destination: Prefix;
  readonly via?: Address;
  /** Name of the outgoing link; empty for one that is unreachable. */
  readonly device: string;
  /** Senders are told at once that nobody is there (RTN_UNREACHABLE). Without gateway and link. */
  readonly unreachable?: boolean;
  /** The gateway is taken to be on the link although no address says so (RTNH_F_ONLINK). */
  readonly onlink?: boolean;
  /** Absent, and absent from every plan: the family's default. A removal may have to name one. */
  readonly metric?: number;
}

/**
 * A link of Denim's making. What is wanted is wanted up. Another tunnel takes another link; MAC, MTU
 * and network change under one that stands.
 */
export interface Link {
  readonly kind: "link";
  /** Begins with `denim`; at most 15 characters. */
  readonly name: string;
  /** Whose it is: a plan says its scene's. */
  readonly network: Prefix;
  /** Of a single station. */
  readonly mac: Mac;
  /** Bytes. */
  readonly mtu: number;
  /** Absent, and absent from every plan: the kernel has one of a sort that no plan can want. */
  readonly tunnel?: Vxlan;
}

/** RFC 7348, as `ip link … type vxlan` has it. */
export interface Vxlan {
  readonly kind: "vxlan";
  /** 24 bits. */
  readonly vni: number;
  /** UDP, of both ends. */
  readonly port: number;
  /** The outer packets are from this address. */
  readonly local: Address;
  /** Name of the link that they leave by. */
  readonly underlay: string;
  /** Packets that come in say where a MAC address is. Without it forwarding entries alone do. */
  readonly learning: boolean;
  /** Group based policy, an extension of the header (draft-smith-vxlan-group-policy). */
  readonly gbp?: boolean;
}

/** An address of a link of Denim's. IPv6 does not look for duplicates of it. */
export interface LinkAddress {
  readonly kind: "address";
  readonly device: string;
  readonly address: Address;
  /** Bits of the on-link prefix; the kernel makes a route for one that is shorter than the address. */
  readonly length: number;
}

/** Who has an address beyond a link of Denim's, for good (NUD_PERMANENT): nobody is asked for it. */
export interface Neighbour {
  readonly kind: "neighbour";
  readonly device: string;
  readonly address: Address;
  /** Of a single station. */
  readonly mac: Mac;
}

/** Where a tunnel of Denim's sends what is for a MAC address, for good. */
export interface ForwardingEntry {
  readonly kind: "forwarding";
  readonly device: string;
  /** Of a single station. */
  readonly mac: Mac;
  /** The other end of the tunnel; of the family that the tunnel goes by. */
  readonly remote: Address;
}

/** What is wanted on a link of the same plan. */
export type OnLink = LinkAddress | Neighbour | ForwardingEntry;

/** Something that a backend wants to stand in the kernel. */
export type Wanted = Route | Link | OnLink;
