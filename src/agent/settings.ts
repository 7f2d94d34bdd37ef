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
  /** Where container runtimes look. @default /run/flannel/subnet.env */
  readonly subnetFile: string;
  /** Control connections: address to bind and port. @default [::]:7470 */
  readonly listen: { readonly host: string; readonly port: number };
  /** Control connections: what others are told, `host:port`. Found by itself when absent. */
  readonly advertise: string | undefined;
  /** The read-only API on loopback; `undefined` turns it off. @default 7475 */
  readonly apiPort: number | undefined;
  /** Data interface: a link's name or address. */
  readonly iface: string | undefined;
  readonly publicIp: Address | undefined;
  /** Servers to try besides those that are known, `host:port`. */
  readonly seeds: readonly string[];
  readonly profile: "lan" | "wan";
  /** Write subnet.env and be ready although the cluster has not confirmed the lease. */
  readonly acceptExpiredLease: boolean;
  /** When the disk of the state directory is short of room. */
  readonly disk: DiskLimits;
  /** How much of the past is kept for those who were away. @default what replica and feed keep */
  readonly retention?: Retention;
  readonly version: string;
}

const MIB = 1024 * 1024;

export const DEFAULT_SETTINGS: Omit<Settings, "version"> = {
  stateDir: "/var/lib/denim",
  socketPath: "/run/denim/denim.sock",
  readSocketPath: undefined,
  subnetFile: "/run/flannel/subnet.env",
  listen: { host: "::", port: 7470 },
  advertise: undefined,
  apiPort: 7475,
  iface: undefined,
  publicIp: undefined,
  seeds: [],
  profile: "lan",
  acceptExpiredLease: false,
  disk: { lowBytes: 256 * MIB, ballastBytes: 32 * MIB },
};
