import type { Family } from "../ip/address.ts";
import type { Prefix } from "../ip/prefix.ts";
import type { HostAddress } from "../backend/backend.ts";
import type { LeaseView, NodeView, StatusView } from "../api/service.ts";
import type { KernelState } from "../plan/kernel.ts";

/** All that the checks look at: gathered once, so that they are functions and nothing more. */
export interface Facts {
  /** May this process change the network? */
  readonly mayProgram: boolean;
  readonly kernel: KernelState;
  /** The value of a setting below `/proc/sys`; `undefined` where the kernel has no such thing. */
  readonly setting: (path: string) => string | undefined;
  readonly interface: InterfaceFact;
  /** The blocks of the network, where they are known. */
  readonly networks: readonly Prefix[];
  /** What `iptables` says becomes of packets that are passed on; absent without `iptables`. */
  readonly forwardPolicy: Readonly<Partial<Record<Family, string>>>;
  /** Containers' addresses that a rule keeps other hosts' packets from (Docker 28, in `raw`). */
  readonly shielded: readonly Prefix[];
  /** Datagrams that have come in with a wrong checksum since the start of this machine. */
  readonly spoiledDatagrams: number;
  readonly ports: readonly PortFact[];
  readonly clock: ClockFact;
  readonly disk: DiskFact;
  /** Other programs here that give containers a network, by name and process. */
  readonly rivals: readonly string[];
  /** What container runtimes read now. */
  readonly subnetEnv: string | undefined;
  /** What the daemon says; absent while none runs. */
  readonly daemon?: DaemonFact;
  /** One listens, and does not answer: how. */
  readonly hungDaemon?: string;
}

export type InterfaceFact =
  | {
    readonly found: true;
    readonly link: string;
    readonly mtu: number;
    /** One per family of the network. */
    readonly addresses: readonly HostAddress[];
    /** Why this one. */
    readonly why: string;
  }
  | {
    readonly found: false;
    readonly message: string;
    readonly why?: string;
    readonly fix?: string;
  };

export interface PortFact {
  readonly what: string;
  readonly port: number;
  /** Why nobody could listen there. */
  readonly error?: string;
}

export interface ClockFact {
  readonly wallMs: number;
  /** Somebody keeps it right, as the kernel knows (`adjtimex(2)`); absent where it does not say. */
  readonly synchronized?: boolean;
}

export interface DiskFact {
  readonly folder: string;
  readonly freeBytes: number;
  readonly lowBytes: number;
  /** How long one small write takes to be safe, median, milliseconds; absent if it was not tried. */
  readonly syncMs?: number;
  /** Gone with the next start. */
  readonly isMemory: boolean;
}

export interface DaemonFact {
  readonly status: StatusView;
  readonly nodes: readonly NodeView[];
  readonly leases: readonly LeaseView[];
  /** Control addresses of other servers that nobody answers at, and why. */
  readonly unreachable: readonly { readonly name: string; readonly why: string }[];
  readonly reachable: number;
}
