import { type Canonical, canonical } from "../base/canonical.ts";
import { assert, type ErrorJson } from "../base/errors.ts";
import type {
  Ca,
  Epoch,
  FeatureRange,
  Incarnation,
  LeaseAttributes,
  NodeTrust,
  Role,
} from "./records.ts";

/** What a joining node says about itself. */
export interface Joiner {
  readonly nodeId: string;
  readonly name: string;
  readonly role: Role;
  readonly address: string;
  readonly csrKey: string;
  readonly storeId: string;
  readonly version: string;
  readonly features: FeatureRange;
  readonly certificateEndsWallMs: number;
  readonly attributes: LeaseAttributes;
  /** Subnets that the node had before, or would like. */
  readonly wish?: readonly string[];
  /** A node (id or name) whose place this one takes. */
  readonly replace?: string;
  readonly ephemeral?: boolean;
  readonly zone?: string;
}

/**
 * What the log replicates. Every command is conditional on a revision, or idempotent by node id or
 * CSR key, so that one whose answer was lost may be sent again.
 */
export type Command =
  | {
    readonly kind: "cluster.init";
    readonly clusterId: string;
    readonly name: string;
    readonly epoch: Epoch;
    readonly config: string;
    readonly node: Joiner;
  }
  | {
    /** A new epoch begins on what one server has. Made offline only, by `replica/reform.ts`. */
    readonly kind: "cluster.reform";
    readonly epoch: Epoch;
    readonly reason: "recover" | "restore";
    /** The one server that goes on. */
    readonly node: string;
    /** Of a restored node: the state's store of it is gone, and maybe its key. */
    readonly place?: RestoredPlace;
  }
  | {
    /** The hold of an epoch ends: because its time is over, or although it is not. */
    readonly kind: "cluster.release-hold";
    readonly epoch: Epoch;
    readonly early: boolean;
  }
  | {
    /** Somebody has met another history with the number of this one. */
    readonly kind: "cluster.fork-seen";
    readonly epoch: Epoch;
    readonly other: Epoch;
  }
  | {
    /** From now on the log may have commands of this level. */
    readonly kind: "cluster.raise-level";
    readonly to: number;
  }
  /** How many voters to aim for once there are three servers: 3 or 5. */
  | { readonly kind: "cluster.set-voters"; readonly voters: number }
  | {
    readonly kind: "network.set";
    readonly config: string;
    /** Refused when the config has changed since. */
    readonly ifRevision?: number;
  }
  | { readonly kind: "node.join"; readonly tokenId: string; readonly node: Joiner }
  | {
    /** A member by its certificate, whom this state does not know. */
    readonly kind: "node.readmit";
    readonly node: string;
    readonly name: string;
    readonly role: Role;
    readonly address: string;
    readonly version: string;
    readonly features: FeatureRange;
  }
  | {
    /**
     * A member comes back with an empty store, in place of one that is not to be believed, or is
     * gone. A server asks for it on its behalf, for its certificate alone speaks for it.
     */
    readonly kind: "node.rejoin";
    readonly node: string;
    readonly name: string;
    readonly role: Role;
    readonly address: string;
    readonly version: string;
    readonly features: FeatureRange;
    readonly storeId: string;
    /** Names the first start of the new store. */
    readonly startId: string;
    /** In place of a certificate: a token, and the key that the node has shown to hold. */
    readonly proof?: ReturnProof;
  }
  | {
    readonly kind: "node.leave";
    readonly node: string;
    /** Its subnet is set aside for its name. */
    readonly keepLease?: boolean;
  }
  | { readonly kind: "node.remove"; readonly node: string }
  | {
    /** A process of the node has started, or its facts have changed. */
    readonly kind: "node.update";
    readonly node: string;
    readonly incarnation?: Incarnation;
    readonly address?: string;
    readonly version?: string;
    readonly features?: FeatureRange;
    readonly certificateEndsWallMs?: number;
    readonly trust?: NodeTrust;
    /** Empty: it is in none any more. */
    readonly zone?: string;
  }
  | {
    /** What an operator wants a server to be; `null` leaves it to the planner again. */
    readonly kind: "node.prefer";
    readonly node: string;
    readonly preferred: "voter" | "standby" | null;
  }
  | {
    readonly kind: "node.silent";
    readonly node: string;
    readonly silent: boolean;
    /** Silence of an earlier process says nothing about this one. */
    readonly startId?: string;
  }
  | {
    readonly kind: "lease.acquire";
    readonly node: string;
    readonly attributes: LeaseAttributes;
    readonly wish?: readonly string[];
  }
  | {
    readonly kind: "lease.renew";
    readonly node: string;
    readonly subnets: readonly string[];
    /** Given when they have changed; only then does the lease get a new revision. */
    readonly attributes?: LeaseAttributes;
  }
  | {
    /**
     * Asks for the very subnet that the node held before: its own lease ran out, or was granted in
     * an earlier epoch.
     */
    readonly kind: "lease.claim";
    readonly node: string;
    readonly subnets: readonly string[];
    readonly attributes: LeaseAttributes;
    readonly epoch: Epoch;
    readonly revision: number;
    readonly locallyValid: boolean;
  }
  | {
    readonly kind: "lease.release";
    readonly node: string;
    readonly subnets: readonly string[];
    /** Of the lease, as the holder was told: another one is left alone. */
    readonly revision?: number;
  }
  | {
    readonly kind: "lease.expire";
    readonly leases: readonly { readonly key: string; readonly revision: number }[];
  }
  | {
    /** An operator moves a node (id or name) to another subnet. The node does the rest. */
    readonly kind: "lease.move";
    readonly node: string;
    readonly subnet: string;
  }
  | {
    readonly kind: "token.create";
    readonly tokenId: string;
    readonly secretHash: string;
    readonly role: Role;
    readonly uses: number | null;
    readonly expiresWallMs: number;
    readonly node?: string;
    readonly name?: string;
    readonly from?: readonly string[];
    readonly subnet?: string;
    readonly ephemeral?: boolean;
  }
  | { readonly kind: "token.revoke"; readonly tokenId: string }
  /** `former` is the CA that signs now, of which the state of a young cluster has no record. */
  | { readonly kind: "ca.add"; readonly former: Ca; readonly next: Ca }
  | { readonly kind: "ca.use"; readonly ca: string }
  | { readonly kind: "ca.drop"; readonly ca: string }
  | { readonly kind: "ca.leave-silent" }
  | {
    readonly kind: "reservation.put";
    readonly subnet: string;
    readonly nodeName?: string;
    /** Refused where it is reserved otherwise. */
    readonly ifFree?: boolean;
  }
  | { readonly kind: "reservation.remove"; readonly subnet: string }
  | {
    /** What a leader's state was when it applied the check before this one: see `store/checkpoint.ts`. */
    readonly kind: "check";
    readonly index: number;
    readonly digest: string;
    readonly clockDigest: string;
  }
  /** Moves the lease clock and nothing else. */
  | { readonly kind: "tick" };

export type CommandKind = Command["kind"];
export type CommandOf<K extends CommandKind> = Extract<Command, { kind: K }>;

/** What the leader knows and the log may not ask for: put on every entry when it is proposed. */
export interface Stamp {
  /** Time since the leader's previous stamp, by its monotonic clock; 0 on a new leader's first. */
  readonly elapsedMs: number;
  readonly wallMs: number;
}

/** Clock steps beyond this are a fault, not time. */
export const ELAPSED_MAX_MS = 3_600_000;

export type Answer =
  | { readonly ok: true; readonly value: Canonical }
  | { readonly ok: false; readonly error: ErrorJson };

/** What a holder is told about its lease. */
export type LeaseAnswer = {
  readonly node: string;
  readonly subnets: readonly string[];
  readonly revision: number;
  readonly ttlMs: number;
  readonly epoch: Epoch;
};

export interface RestoredPlace {
  readonly storeId: string;
  readonly csrKey: string;
  readonly certificateEndsWallMs: number;
}

export interface ReturnProof {
  readonly tokenId: string;
  readonly csrKey: string;
  readonly certificateEndsWallMs: number;
}

/** What a node is told that comes back with an empty store. */
export type RejoinAnswer = {
  readonly name: string;
  readonly role: Role;
  readonly raftId: number | null;
  readonly epoch: Epoch;
  /** Its first start, as the cluster has recorded it. */
  readonly incarnation: { readonly counter: number; readonly startId: string };
};

/** What a joiner is told. */
export type JoinAnswer = {
  readonly nodeId: string;
  readonly name: string;
  readonly role: Role;
  readonly raftId: number | null;
  readonly lease: LeaseAnswer;
};

const FORMAT = 1;

/** The text of an entry. */
export function encodeEntry(stamp: Stamp, command: Command): string {
  return canonical({
    v: FORMAT,
    at: { elapsedMs: stamp.elapsedMs, wallMs: stamp.wallMs },
    do: command as unknown as Canonical,
  });
}

/**
 * Reads an entry's text. An entry of another version stops the node: skipping it would let this
 * replica differ from the others in silence.
 */
export function decodeEntry(text: string): { readonly stamp: Stamp; readonly command: Command } {
  const { v, at, do: command } = JSON.parse(text) as { v: number; at: Stamp; do: Command };
  assert(v === FORMAT, `entry of version ${v}: this program reads ${FORMAT}`);
  return { stamp: at, command };
}
