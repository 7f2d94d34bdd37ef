import type { Address } from "../ip/address.ts";
import type { Prefix } from "../ip/prefix.ts";
import type { Wanted } from "../plan/kernel.ts";

/** The number of this contract. It changes when a backend written for it would stop working. */
export const CONTRACT = 1;

/** Plain data that a backend publishes about its node: JSON, kept verbatim in the lease. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json };

/** The machine that a backend runs on. Plain, cloneable data. */
export interface Host {
  /** The data interface: containers' packets leave here. */
  readonly link: { readonly name: string; readonly index: number; readonly mtu: number };
  /** Address of the data interface. */
  readonly address: Address;
  /** Bits of the on-link prefix of `address`. */
  readonly addressLength: number;
  /** What peers send to; differs from `address` behind NAT. */
  readonly publicIp: Address;
  /** 32 bytes that stay the same on this node and differ per backend; for keys and MAC addresses. */
  readonly secret: Uint8Array;
}

/** One node's lease as a backend sees it. `data` is what that node published. */
export interface Peer<Data> {
  readonly node: string;
  /** One prefix per address family, IPv4 first. */
  readonly subnets: readonly Prefix[];
  readonly publicIp: Address;
  readonly data: Data;
}

/** Everything that {@link Backend.plan} may look at. Plain, cloneable data. */
export interface Scene<Config, Data> {
  readonly host: Host;
  readonly config: Config;
  readonly own: Peer<Data>;
  /** All other nodes that use the same backend. */
  readonly peers: readonly Peer<Data>[];
}

export interface Publication<Data extends Json> {
  readonly data: Data;
  /** MTU of the containers' links, bytes. */
  readonly mtu: number;
}

/**
 * A way of carrying packets between subnets. Data in, data out: a backend touches nothing itself.
 *
 * 1. `publish` runs before there is a lease and says what to tell the peers.
 * 2. `plan` runs at every change and says what should stand in the kernel. The host awaits it,
 *    diffs it against the kernel and applies the difference; a plan is never a history of events.
 */
export interface Backend<Config = unknown, Data extends Json = Json> {
  readonly contract: typeof CONTRACT;
  /** The `Backend.Type` of the network config, lower case. */
  readonly name: string;
  /** Reads this backend's part of the network config. Throws `CONFIG_INVALID`. */
  parseConfig(json: Json): Config;
  /** Reads what a peer published. Throws `CONFIG_INVALID`; that peer is then left out. */
  parseData(json: Json): Data;
  /** Throws when this host cannot take part, and says why. */
  publish(host: Host, config: Config): Publication<Data> | Promise<Publication<Data>>;
  plan(scene: Scene<Config, Data>): readonly Wanted[] | Promise<readonly Wanted[]>;
}

/**
 * Only for the types: what it is given is what it returns. The author writes `contract: 1`, the
 * number that the backend was written for; this host's own would hide that it has moved on.
 */
export function defineBackend<Config, Data extends Json>(
  backend: Backend<Config, Data>,
): Backend<Config, Data> {
  return backend;
}
