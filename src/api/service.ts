import type { Epoch, Role } from "../lease/records.ts";
import type { Feed, Position } from "../lease/cluster.ts";

/** How old an answer may be. */
export type Consistency = "stale" | "linearizable";

export interface NetworkView {
  /** flannel's JSON, as it was typed. */
  readonly config: string;
  readonly revision: number;
  readonly warnings: readonly string[];
}

export interface LeaseView {
  readonly subnet: string;
  readonly subnets: readonly string[];
  readonly node: string;
  readonly nodeName: string;
  readonly publicIp: string;
  readonly backendType: string;
  readonly backendData: unknown;
  readonly revision: number;
  /** On servers: what is left on the lease clock. */
  readonly expiresInMs?: number;
}

export interface NodeView {
  readonly id: string;
  readonly name: string;
  /** What it is now; `leader` is one of the voters. */
  readonly role: "leader" | "voter" | "standby" | "agent";
  /** What it may become. */
  readonly eligible: Role;
  readonly raftId: number | null;
  readonly address: string;
  readonly publicIp: string | null;
  readonly subnets: readonly string[];
  readonly silent: boolean;
  readonly version: string;
  readonly self: boolean;
}

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** Also where all is well, if there is something to know. */
  readonly why?: string;
}

/** Why nothing is given out, and how far hosts have come with claiming what they had. */
export interface HoldView {
  readonly reason: "recover" | "restore" | "fork";
  readonly since: string;
  /** It takes longer by the time in which there is no leader. */
  readonly notBefore: string;
  readonly leases: number;
  readonly claimed: number;
  /** The other epoch of the same number, as it stands in the ids of events. */
  readonly fork: string | null;
}

/** This node, on one screen. */
export interface StatusView {
  readonly node: { readonly id: string; readonly name: string; readonly version: string };
  readonly cluster: {
    readonly id: string;
    readonly name: string;
    readonly epoch: Epoch;
    readonly revision: number;
    readonly leader: string | null;
    readonly leaderAgeMs: number | null;
    readonly nodes: number;
    readonly silent: number;
    readonly hold: HoldView | null;
  } | null;
  readonly role: NodeView["role"];
  readonly lease: {
    readonly state: "none" | "held" | "fenced";
    readonly subnets: readonly string[];
    readonly trustedForMs: number;
    readonly why: string | null;
  };
  readonly dataPlane: {
    readonly backend: string | null;
    readonly link: string | null;
    readonly publicIp: string | null;
    readonly mtu: number | null;
    readonly subnetFile: string;
    readonly mode: "full" | "add-only" | null;
    readonly routes: Readonly<Record<string, number>>;
  };
  readonly ready: boolean;
  readonly checks: readonly Check[];
}

export interface TokenRequest {
  readonly role: Role;
  readonly uses: number | null;
  readonly ttlMs: number;
  readonly name?: string;
}

export interface TokenMade {
  /** The whole token: shown once. */
  readonly token: string;
  readonly id: string;
  readonly role: Role;
  readonly expires: string;
  /** Where a joiner can turn to. */
  readonly servers: readonly string[];
}

export interface TokenView {
  readonly id: string;
  readonly role: Role;
  readonly usesLeft: number | null;
  readonly expires: string;
  readonly name: string | null;
}

/** What the routes need of a node. The composition root passes something that fits. */
export interface Service {
  status(): StatusView;
  network(consistency: Consistency): Promise<NetworkView>;
  setNetwork(config: string, ifRevision: number | undefined): Promise<NetworkView>;
  leases(consistency: Consistency): Promise<readonly LeaseView[]>;
  nodes(consistency: Consistency): Promise<readonly NodeView[]>;
  /** By id or name. @throws `NOT_FOUND` `PEER_UNREACHABLE` */
  routes(node: string): Promise<unknown>;
  removeNode(node: string): Promise<{ readonly id: string; readonly name: string }>;
  /** Ends a hold before its time. */
  releaseHold(): Promise<{ readonly claimed: number; readonly unclaimed: number }>;
  raft(): unknown;
  tokens(): readonly TokenView[];
  createToken(request: TokenRequest): Promise<TokenMade>;
  revokeToken(id: string): Promise<void>;
  /** Leaves the cluster and stops the daemon, after the answer. */
  leave(): Promise<{ readonly subnets: readonly string[] }>;
  follow(from: Position | undefined, signal: AbortSignal): AsyncIterable<Feed>;
  position(): Position | undefined;
  /** Milliseconds since a leader stood behind what this node knows; `undefined`: never. */
  staleMs(): number | undefined;
  metrics(): Promise<string>;
}
