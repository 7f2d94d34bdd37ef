/** One unbroken history of the cluster. Compared whole: equal `n` with another `random` is a fork. */
export type Epoch = {
  readonly n: number;
  /** 16 hex digits, new at each recover or restore. */
  readonly random: string;
};

/** One process lifetime of a node: a counter on its disk and a random name. */
export interface Incarnation {
  readonly counter: number;
  readonly startId: string;
}

/** Feature levels, both included. */
export interface FeatureRange {
  readonly min: number;
  readonly max: number;
}

export type Role = "server" | "agent";

/** A history that the present one goes on from. */
export interface Ancestor {
  readonly epoch: Epoch;
  /** What has this revision, or a later one, is not of that epoch any more. */
  readonly endRevision: number;
}

export interface ClusterBody {
  /** 32 hex digits. */
  readonly clusterId: string;
  readonly name: string;
  readonly epoch: Epoch;
  /** The last raft id given out; ids are never used twice. */
  readonly lastRaftId: number;
  /** How many voters the planner aims for once there are three servers. */
  readonly votersWanted: number;
  readonly featureLevel: number;
  readonly createdWallMs: number;
  /** Oldest first; absent in a cluster that was never recovered or restored. */
  readonly ancestors?: readonly Ancestor[];
}

/**
 * The cluster takes no risk: leases may be held that it does not know of. While there is this
 * record nothing is given out and nothing expires.
 */
export interface HoldBody {
  readonly reason: "recover" | "restore" | "fork";
  readonly sinceWallMs: number;
  /** On the lease clock. */
  readonly endsMs: number;
  /** The same by the leader's wall clock, had there always been a leader since. */
  readonly untilWallMs: number;
  /** Another history with the same number that somebody has met. */
  readonly fork?: Epoch;
}

/** The Raft group, as of the last applied membership change. */
export interface GroupBody {
  readonly voters: readonly number[];
  readonly learners: readonly number[];
}

export interface NetworkBody {
  /** flannel's JSON, as it was typed. */
  readonly config: string;
}

export interface NodeBody {
  readonly name: string;
  readonly role: Role;
  /** Given to servers at join, and anew when a store had to be set aside. */
  readonly raftId?: number;
  /** Names the data directory that `raftId` was given to. */
  readonly storeId?: string;
  /** `host:port` of the control connection. */
  readonly address: string;
  /** Identifies the join request, so that a repeated one is answered again: SHA-256 of its key. */
  readonly csrKey: string;
  readonly tokenId?: string;
  readonly version: string;
  /** The feature levels that the node's program supports. */
  readonly features: FeatureRange;
  readonly ephemeral?: boolean;
  /** What fails together with it: a rack, a room. */
  readonly zone?: string;
  /** By an operator's word: a voter before others, or none where that can be avoided. */
  readonly preferred?: "voter" | "standby";
  /** Nobody has heard of this node for a while. */
  readonly silent?: boolean;
  readonly incarnation?: Incarnation;
  readonly joinedWallMs: number;
  /** When the node's newest certificate ends. */
  readonly certificateEndsWallMs: number;
  /** What it has on its disk, since the CA was first changed: see `lease/trust.ts`. */
  readonly trust?: NodeTrust;
}

/** Whom a node believes, and who vouches for it: ids of CAs. */
export interface NodeTrust {
  readonly cas: readonly string[];
  readonly issuer: string;
}

/** A certificate authority. */
export interface Ca {
  /** Of its public key: the pin that tokens carry, hex. */
  readonly id: string;
  readonly certPem: string;
}

/** Whom the cluster's nodes believe, once the CA was changed or is about to be. */
export interface TrustBody {
  /** One, or while one takes the other's place the former and the next. */
  readonly cas: readonly Ca[];
  /** Id of the one that signs. */
  readonly signer: string;
  /** The present change does not wait for silent nodes. */
  readonly leavesSilent?: true;
}

/** What peers need to know to reach a node's containers: flannel's lease attributes. */
export interface LeaseAttributes {
  /** IPv4, or IPv6 in a network that has no IPv4. */
  readonly publicIp: string;
  /** In a network that has both. */
  readonly publicIpv6?: string;
  readonly backendType: string;
  /** Whatever the backend published: JSON text, kept verbatim. */
  readonly backendData: string;
}

/** Characters of that text. */
export const BACKEND_DATA_MAX = 16_384;

export interface LeaseBody extends LeaseAttributes {
  readonly node: string;
  /** One prefix per family, IPv4 first. */
  readonly subnets: readonly string[];
}

export interface TokenBody {
  /** SHA-256 of the secret, hex. The secret itself is never stored. */
  readonly secretHash: string;
  readonly role: Role;
  /** `null`: any number of times. */
  readonly usesLeft: number | null;
  readonly expiresWallMs: number;
  /** Only lets that node (its id) come back, also with another key. */
  readonly node?: string;
  readonly name?: string;
  /** Blocks of addresses that joiners may come from; absent: from anywhere. */
  readonly from?: readonly string[];
  /** Set aside for the joiner, by a reservation that names this token until it is used. */
  readonly subnet?: string;
  /** Joiners are ephemeral nodes. */
  readonly ephemeral?: boolean;
  /** Kept, so that who comes with it is told that it was revoked. */
  readonly revokedWallMs?: number;
  readonly createdWallMs: number;
}

/** A subnet set aside: for the node of that name, for who joins with a token, or for nobody. */
export interface ReservationBody {
  readonly nodeName?: string;
  readonly tokenId?: string;
  /** The id of the node that is to change over to it at once. */
  readonly moves?: string;
}

/** A removed node, until its last certificate has ended. */
export interface TombstoneBody {
  readonly name: string;
  readonly untilWallMs: number;
}

/** What a claim was made with: the greater one counts, by epoch and then by revision. */
export interface Rank {
  /** The number of the epoch. */
  readonly n: number;
  readonly revision: number;
}

/** When a lease ends, on the lease clock. Servers only; a renewal changes nothing else. */
export interface DeadlineBody {
  readonly deadlineMs: number;
  /** Of a lease that was claimed in this hold: a greater claim still outdoes it. */
  readonly claim?: Rank;
  /** Until then a claimant that was outdone may still believe in its lease of these subnets. */
  readonly fencedUntilMs?: number;
}

/** A subnet that somebody had. Servers only. */
export interface FreedBody {
  readonly how: "released" | "expired" | "removed";
  readonly node: string;
  /** Raft index at which it was freed: the order of reuse. */
  readonly order: number;
  /** Until then, on the lease clock, no other node gets it. */
  readonly quarantineEndsMs: number;
}

/** The revisioned section: watched, and the same on every node. */
export interface RevisionedBodies {
  readonly cluster: ClusterBody;
  readonly hold: HoldBody;
  readonly group: GroupBody;
  readonly network: NetworkBody;
  readonly node: NodeBody;
  readonly lease: LeaseBody;
  readonly token: TokenBody;
  readonly reservation: ReservationBody;
  readonly tombstone: TombstoneBody;
  readonly trust: TrustBody;
}

/** The clock section: known to servers only, with a digest of its own. */
export interface ClockBodies {
  readonly deadline: DeadlineBody;
  readonly freed: FreedBody;
}

export type Bodies = RevisionedBodies & ClockBodies;
export type RevisionedTable = keyof RevisionedBodies;
export type ClockTable = keyof ClockBodies;
export type Table = RevisionedTable | ClockTable;

export const REVISIONED_TABLES: readonly RevisionedTable[] = [
  ...["cluster", "hold", "group", "network"] as const,
  ...["node", "lease", "token", "reservation", "tombstone", "trust"] as const,
];
export const CLOCK_TABLES: readonly ClockTable[] = ["deadline", "freed"];

export function isRevisioned(table: Table): table is RevisionedTable {
  return (REVISIONED_TABLES as readonly Table[]).includes(table);
}

/** The only key of the tables that have one record. */
export const SINGLE = "it";

/** `T` may be a union: then the record is one of its members, told apart by `table`. */
export type StateRecord<T extends Table = Table> = {
  [K in T]: {
    readonly table: K;
    readonly key: string;
    /** Raft index of the entry that made the record. */
    readonly createRevision: number;
    /** Raft index of the entry that changed it last. */
    readonly modRevision: number;
    readonly body: Bodies[K];
  };
}[T];

/** One record before and after an entry; `undefined` where there was none. */
export interface StateChange {
  readonly table: Table;
  readonly key: string;
  readonly before: StateRecord | undefined;
  readonly after: StateRecord | undefined;
}

export function equalEpoch(a: Epoch, b: Epoch): boolean {
  return a.n === b.n && a.random === b.random;
}

/** True for the own history, and for one that can have gone on from it. */
export function mayFollow(own: Epoch, other: Epoch): boolean {
  return other.n > own.n || equalEpoch(own, other);
}

/** Two histories that were both counted `n`: neither comes after the other. */
export function isFork(a: Epoch, b: Epoch): boolean {
  return a.n === b.n && a.random !== b.random;
}
