import type { Address, Family } from "../ip/address.ts";
import type { Prefix } from "../ip/prefix.ts";
import type { Hook, Invocation } from "../plan/hook.ts";
import type { Wanted } from "../plan/wanted.ts";

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

/** What a host is known by in one address family. */
export interface HostAddress {
  readonly family: Family;
  /** The data interface has it. */
  readonly address: Address;
  /** What peers send to; differs from `address` behind NAT. */
  readonly publicIp: Address;
}

/** The machine that a backend runs on. Plain, cloneable data. */
export interface Host {
  /** The data interface: containers' packets leave here. */
  readonly link: { readonly name: string; readonly index: number; readonly mtu: number };
  /** One per address family of the network, IPv4 first. */
  readonly addresses: readonly HostAddress[];
  /** What is reached over that link without a router: a next hop has to be in one of these. */
  readonly onLink: readonly Prefix[];
  /** 32 bytes that stay the same on this node and differ per backend; for keys and MAC addresses. */
  readonly secret: Uint8Array;
  /** For `publish` alone: what the program of {@link ProgramUse.first} has printed. */
  readonly printed?: string;
}

/** One node's lease as a backend sees it. `data` is what that node published. */
export interface Peer<Data> {
  readonly node: string;
  /** One prefix per address family, IPv4 first. */
  readonly subnets: readonly Prefix[];
  /** What the node is sent packets at. One per address family that it has, IPv4 first. */
  readonly publicIps: readonly Address[];
  readonly data: Data;
}

/** Everything that {@link Backend.plan} may look at. Plain, cloneable data. */
export interface Scene<Config, Data> {
  /** What the cluster shares out; of two families the first. Links of a plan carry its name. */
  readonly network: Prefix;
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

/** A subnet that a backend cannot reach from this host. The plan goes on without it. */
export interface LeftOut {
  readonly kind: "left-out";
  readonly destination: Prefix;
  /** One sentence for whoever asks where the route is: what is in the way, and what would help. */
  readonly why: string;
}

/** What should stand in the kernel, what programs are to look after, and what cannot be. */
export type Plan = readonly (Wanted | Hook | LeftOut)[];

/** What a backend has run on this host, because the network config says so. */
export interface ProgramUse {
  /** Every program with its words, variables not yet filled in. The host has to allow each. */
  readonly argvs: readonly (readonly string[])[];
  /** Run before `publish`, which is given what it prints: once, unless host or config change. */
  readonly first?: Invocation;
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
  /** Absent where it runs nothing. A plan's hooks are run only as far as the host allows them. */
  programs?(config: Config): ProgramUse | Promise<ProgramUse>;
  /** Throws when this host cannot take part, and says why. */
  publish(host: Host, config: Config): Publication<Data> | Promise<Publication<Data>>;
  plan(scene: Scene<Config, Data>): Plan | Promise<Plan>;
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
