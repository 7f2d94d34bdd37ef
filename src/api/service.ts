import type { Epoch, FeatureRange, Role } from "../lease/records.ts";
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
  /** In a network with both families. */
  readonly publicIpv6: string | null;
  readonly backendType: string;
  readonly backendData: unknown;
  readonly revision: number;
  /** Set aside in its holder's name: nobody else gets it, also once the lease has ended. */
  readonly reserved: boolean;
  /** On servers: what is left on the lease clock. */
  readonly expiresInMs?: number;
}

/** A subnet that is set aside, leased or not. */
export interface ReservationView {
  readonly subnet: string;
  /** For the node of this name; `null`: for a token's joiner, or for nobody. */
  readonly nodeName: string | null;
  /** For who joins with the token of this id. */
  readonly token: string | null;
  readonly leased: boolean;
  /** The node holds another subnet and is to change over to this one. */
  readonly moving: boolean;
}

export interface MoveView {
  readonly node: string;
  readonly name: string;
  readonly subnet: string;
  /** What it holds until it has changed over. */
  readonly from: readonly string[];
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
  readonly publicIpv6: string | null;
  readonly subnets: readonly string[];
  readonly silent: boolean;
  /** What fails together with it, as its operator said. */
  readonly zone: string | null;
  /** What an operator wants it to be; the planner decides where it is `null`. */
  readonly preferred: "voter" | "standby" | null;
  readonly version: string;
  readonly self: boolean;
}

/** What the nodes' programs can work with, and what the log may have. */
export interface LevelView {
  readonly level: number;
  /** The highest one that every node supports. */
  readonly supported: number;
  /** The highest one that some node supports. */
  readonly newest: number;
  /** Nodes that do not support the newest. */
  readonly behind: readonly {
    readonly name: string;
    readonly version: string;
    readonly features: FeatureRange;
  }[];
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

export interface QuorumView {
  readonly voters: number;
  readonly reachable: number;
  readonly needed: number;
  /** Names of the voters that are not reached. */
  readonly missing: readonly string[];
  /** What to do; `null` where it is only a matter of moments. */
  readonly fix: string | null;
}

/** How the packet filter treats one network's packets. */
export interface RuleView {
  readonly kind: "masquerade" | "forward";
  readonly network: string;
  /** `nftables`, or the name of an iptables program. */
  readonly tool: string;
  /** Of a chain of iptables: the one that jumps to it. */
  readonly from: string | null;
  /** In the tool's own words. */
  readonly error: string | null;
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
    /** How the voters stand while nobody leads; `null` while somebody does. */
    readonly quorum: QuorumView | null;
    readonly nodes: number;
    readonly silent: number;
    readonly hold: HoldView | null;
  } | null;
  readonly role: NodeView["role"];
  readonly zone: string | null;
  readonly lease: {
    readonly state: "none" | "held" | "fenced";
    readonly subnets: readonly string[];
    readonly trustedForMs: number;
    readonly why: string | null;
  };
  readonly dataPlane: {
    readonly backend: string | null;
    readonly link: string | null;
    /** The rule that chose it, to go after "chosen". */
    readonly linkWhy: string | null;
    readonly publicIp: string | null;
    readonly publicIpv6: string | null;
    readonly mtu: number | null;
    readonly subnetFile: string;
    readonly mode: "full" | "add-only" | null;
    readonly routes: Readonly<Record<string, number>>;
    /** Links of Denim's making, and what stands on them, that the routes go by. By state, too. */
    readonly tunnel: Readonly<Record<string, number>>;
    /** In the packet filter: what stands, or should. */
    readonly rules: readonly RuleView[];
  };
  /** This node's own; it is renewed by itself. */
  readonly certificate: { readonly expires: string; readonly renews: string } | null;
  readonly ready: boolean;
  readonly checks: readonly Check[];
}

export interface TokenRequest {
  readonly role: Role;
  readonly uses: number | null;
  readonly ttlMs: number;
  /** Id or name of the only node that may use it, to come back. */
  readonly node?: string;
  readonly name?: string;
  /** Blocks that joiners may come from. */
  readonly from?: readonly string[];
  /** Set aside for the joiner. */
  readonly subnet?: string;
  readonly ephemeral?: boolean;
}

export interface TokenMade {
  /** The whole token: shown once. */
  readonly token: string;
  readonly id: string;
  readonly role: Role;
  /** Name of the node that may come back with it; `null`: anybody may join. */
  readonly node: string | null;
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
  readonly from: readonly string[];
  readonly subnet: string | null;
  readonly ephemeral: boolean;
  readonly state: "usable" | "used" | "expired" | "revoked";
}

/** Who vouches for the cluster's nodes. */
export interface CaView {
  readonly signer: { readonly id: string; readonly expires: string };
  readonly cas: readonly { readonly id: string; readonly expires: string }[];
  /** How far the change to another CA is, while there is one. */
  readonly rotation: {
    readonly phase: "spreading" | "renewing";
    readonly former: string;
    readonly next: string;
    readonly missing: readonly { readonly name: string; readonly silent: boolean }[];
  } | null;
  readonly nodes: number;
  /** Tokens that can still be used. */
  readonly tokens: number;
}

export interface NodeRemoved {
  readonly id: string;
  readonly name: string;
  /** It may have had the CA key. */
  readonly wasServer: boolean;
}

export interface LeaveView {
  /** What the node had. */
  readonly subnets: readonly string[];
  /** What could not be taken away from the host, each with the reason. */
  readonly stays: readonly string[];
}

/** What the routes need of a node. The composition root passes something that fits. */
export interface Service {
  status(): StatusView;
  network(consistency: Consistency): Promise<NetworkView>;
  setNetwork(config: string, ifRevision: number | undefined): Promise<NetworkView>;
  leases(consistency: Consistency): Promise<readonly LeaseView[]>;
  reservations(consistency: Consistency): Promise<readonly ReservationView[]>;
  /** For the node of a name, which need not have joined yet, or for nobody. */
  reserve(subnet: string, nodeName: string | undefined): Promise<{ readonly subnet: string }>;
  /** Gives a reservation back. */
  release(subnet: string): Promise<{ readonly subnet: string }>;
  /** Asks a node, by id or name, to change over to another subnet. */
  moveLease(node: string, subnet: string): Promise<MoveView>;
  nodes(consistency: Consistency): Promise<readonly NodeView[]>;
  /** By id or name. @throws `NOT_FOUND` `PEER_UNREACHABLE` */
  routes(node: string): Promise<unknown>;
  /** Refuses one that lives, unless it is forced. */
  removeNode(node: string, force?: boolean): Promise<NodeRemoved>;
  /** What a server should be; `null` leaves it to the planner. */
  preferNode(node: string, preferred: NodeView["preferred"]): Promise<NodeView>;
  setVoters(voters: number): Promise<{ readonly voters: number }>;
  levels(consistency: Consistency): Promise<LevelView>;
  /** Raises the feature level to the highest one that every node supports. */
  finalizeUpgrade(): Promise<LevelView>;
  /** Ends a hold before its time. */
  releaseHold(): Promise<{ readonly claimed: number; readonly unclaimed: number }>;
  /** The text of a backup; with a passphrase the CA key is in it. */
  backup(passphrase: string | undefined): Promise<string>;
  raft(): unknown;
  tokens(): readonly TokenView[];
  createToken(request: TokenRequest): Promise<TokenMade>;
  revokeToken(id: string): Promise<void>;
  ca(): CaView;
  /** Begins to put another CA in the place of the present one, or goes on with it. */
  rotateCa(request: { readonly leaveSilent: boolean }): Promise<CaView>;
  /** Leaves the cluster and stops the daemon, after the answer. */
  leave(keepLease?: boolean): Promise<LeaveView>;
  follow(from: Position | undefined, signal: AbortSignal): AsyncIterable<Feed>;
  position(): Position | undefined;
  /** Milliseconds since a leader stood behind what this node knows; `undefined`: never. */
  staleMs(): number | undefined;
  metrics(): Promise<string>;
}
