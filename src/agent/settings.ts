import type { Address } from "../ip/address.ts";
import type { LogLimits } from "../replica/turn.ts";
import type { DiskLimits } from "./disk-watch.ts";

/** For simulations, which have to meet the ends of what is kept. */
export interface Retention {
  readonly log: LogLimits;
  readonly historyEntries: number;
  /** Records in one part of a snapshot between servers. */
  readonly partRecords: number;
}

/** How one daemon was told to run. Everything has a default but what names the node. */
export interface Settings {
  /** Identity and store. @default /var/lib/denim */
  readonly stateDir: string;
  /** The API's unix socket. @default /run/denim/denim.sock */
  readonly socketPath: string;
  /** The same answers as the loopback port's, on a unix socket; `undefined`: none. */
  readonly readSocketPath: string | undefined;
  /** What this host runs when a network config wants it run. @default /etc/denim/commands.allow */
  readonly commandsAllow: string;
  /** Where container runtimes look. @default /run/flannel/subnet.env */
  readonly subnetFile: string;
  /** Backends that are not part of the program, a folder for each. @default /etc/denim/backends */
  readonly backendsDir: string;
  /** The same for runtimes that speak CNI; `undefined`: none. */
  readonly cniConflist: string | undefined;
  /** Control connections: address to bind and port. @default [::]:7470 */
  readonly listen: { readonly host: string; readonly port: number };
  /** Control connections: what others are told, `host:port`. Found by itself when absent. */
  readonly advertise: string | undefined;
  /** The read-only API on loopback; `undefined` turns it off. @default 7475 */
  readonly apiPort: number | undefined;
  /** etcd's v2 API over the state, on loopback; `undefined`: none. */
  readonly etcd: EtcdSettings | undefined;
  /** Data interface: a link's name or address. */
  readonly iface: string | undefined;
  /** Data interface: matches its address or its name. */
  readonly ifaceRegex: RegExp | undefined;
  /** Data interface: it reaches this address. */
  readonly ifaceCanReach: Address | undefined;
  /** What peers send to: IPv4, or IPv6 in a network without IPv4. */
  readonly publicIp: Address | undefined;
  readonly publicIpv6: Address | undefined;
  /** Servers to try besides those that are known, `host:port`. */
  readonly seeds: readonly string[];
  readonly profile: "lan" | "wan";
  /** What fails together with this host: a rack, a room. Voters are spread over zones. */
  readonly zone: string | undefined;
  /** Come in although the network meets routes of this host. */
  readonly allowOverlap: boolean;
  /** Write subnet.env and be ready although the cluster has not confirmed the lease. */
  readonly acceptExpiredLease: boolean;
  /** Containers are seen under this host's address outside of the network. @default true */
  readonly ipMasq: boolean;
  /** Their packets are let through where this host forwards nobody's. @default true */
  readonly forwardRules: boolean;
  /** When the disk of the state directory is short of room. */
  readonly disk: DiskLimits;
  /** How much of the past is kept for those who were away. @default what replica and feed keep */
  readonly retention?: Retention;
  readonly version: string;
}

/** How flannel's keys are shown to who has them from etcd. */
export interface EtcdSettings {
  readonly host: string;
  readonly port: number;
  /** The path that `config` and `subnets` are below. @default /coreos.com/network */
  readonly prefix: string;
  /** A port that is in use ends the daemon; else that is said, and it goes on without. */
  readonly isRequired: boolean;
}

/** What a zone may be called. */
export const ZONE = /^[a-z0-9][a-z0-9._/-]{0,62}$/i;

const MIB = 1024 * 1024;

export const DEFAULT_SETTINGS: Omit<Settings, "version"> = {
  stateDir: "/var/lib/denim",
  socketPath: "/run/denim/denim.sock",
  readSocketPath: undefined,
  commandsAllow: "/etc/denim/commands.allow",
  subnetFile: "/run/flannel/subnet.env",
  backendsDir: "/etc/denim/backends",
  cniConflist: undefined,
  listen: { host: "::", port: 7470 },
  advertise: undefined,
  apiPort: 7475,
  etcd: undefined,
  iface: undefined,
  ifaceRegex: undefined,
  ifaceCanReach: undefined,
  publicIp: undefined,
  publicIpv6: undefined,
  seeds: [],
  profile: "lan",
  zone: undefined,
  allowOverlap: false,
  acceptExpiredLease: false,
  ipMasq: true,
  forwardRules: true,
  disk: { lowBytes: 256 * MIB, ballastBytes: 32 * MIB },
};
