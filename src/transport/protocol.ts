import type { Feed, Position } from "../lease/cluster.ts";
import type { Command } from "../lease/command.ts";
import type { StateRecord } from "../lease/records.ts";
import type { Message, SnapshotOffer } from "../raft/mod.ts";

/** The oldest and newest form of these messages that this program speaks. */
export const PROTOCOL = { min: 1, max: 1 };

/** What nodes say to each other, by kind: the names and bodies of protocol 1. */
export const KIND = {
  /** Notice between servers: {@link RaftNotice}. */
  raft: "raft",
  /** Request between servers, several for one snapshot: {@link SnapshotPart}. */
  snapshot: "raft.snapshot",
  /** Request to a server: {@link ProposeRequest}, answered with the command's value. */
  propose: "propose",
  /** Request to a server: answered with the {@link Position} that a linearizable read needs. */
  read: "read",
  /** Request between servers: {@link GroupAnswer}, as of a linearizable read. */
  group: "group",
  /** Stream from a server: its whole state, as a linearizable read sees it, in {@link CaptureItem}s. */
  capture: "capture",
  /** Stream from a server: {@link FollowRequest}, items are {@link FollowItem}. */
  follow: "follow",
  /** Request to a server of one that said it wants to `rejoin`: see `agent/entry/readmitting.ts`. */
  rejoin: "rejoin",
  /** Request to a new standby: {@link CaDelivery}. Its answer says that it has the key on disk. */
  ca: "ca.deliver",
  /** Notice of a server that hangs up: another process speaks as the same node. */
  twin: "twin",
  /** Notice to the leader every two seconds: {@link ConnectedNotice}. */
  connected: "connected",
  /** Request to any node: the routes that it programs. */
  routes: "routes",
  /** Request to a server: {@link NodeRoutesRequest}. */
  nodeRoutes: "node.routes",
  /** Request to a server, which passes it on to the leader: {@link LeaveRequest}. */
  leave: "leave",
  /** Request to a server: a new certificate under the old key, see `agent/trust/renewing.ts`. */
  renew: "renew",
  /** Request to a server, which passes it on to the leader: {@link RotateRequest}. */
  rotate: "ca.rotate",
} as const;

export interface RaftNotice {
  readonly messages: readonly Message[];
}

/** Answered with a {@link SnapshotTaken}; a part without records only asks for that. */
export interface SnapshotPart {
  /** Names the state, whoever sends it: a transfer that broke off goes on where it was. */
  readonly snapshot: string;
  /** The place of the first record of this part; one that does not fit is not taken. */
  readonly at: number;
  readonly records: readonly StateRecord[];
  /** With the last part. */
  readonly end?: {
    readonly offer: SnapshotOffer;
    readonly applied: unknown;
    readonly chain: number;
  };
}

export interface SnapshotTaken {
  /** Where the next part begins. */
  readonly at: number;
}

export interface ProposeRequest {
  readonly command: Command;
  /** Only if the server that is asked leads: it is another one that passes this on. */
  readonly here?: boolean;
}

/** Raft ids of the group, those without a vote included. */
export interface GroupAnswer {
  readonly members: readonly number[];
}

/** The routes of another node. */
export interface NodeRoutesRequest {
  readonly node: string;
  /** Only if that node is connected to the server that is asked. */
  readonly here?: boolean;
}

export interface FollowRequest {
  readonly from?: Position;
}

/**
 * A {@link Feed}, but a snapshot comes in parts: all but the last have no position yet. Progress
 * also says who leads, or which voters the server can reach while nobody does.
 */
export type FollowItem =
  | Feed & {
    readonly leaderNode?: string;
    readonly reachable?: readonly string[];
  }
  | {
    readonly kind: "part";
    readonly records: readonly StateRecord[];
  };

export interface CaptureItem {
  readonly records: readonly StateRecord[];
  /** With the last: an `AppliedRecord`, with the digests of all that came. */
  readonly applied?: unknown;
}

export interface CaDelivery {
  /** PEM; while the CA is being changed, the keys of both. */
  readonly caKey: string;
  /** Under which the receiver is, or will be, a member of the group. */
  readonly raftId: number;
}

export interface ConnectedNotice {
  readonly nodes: readonly { readonly node: string; readonly startId: string }[];
  /** The disk of who says this is running full. */
  readonly isDiskLow?: boolean;
}

export interface LeaveRequest {
  readonly node: string;
  /**
   * By its own wish, perhaps with its subnet set aside for its name; put out by others; or only out
   * of the Raft group, for a node that is about to take its place.
   */
  readonly how: "leave" | "leave-keeping" | "remove" | "stand-down";
}

export interface RotateRequest {
  readonly leaveSilent: boolean;
}

/** Records in one part of a snapshot: some 128 KiB. */
export const PART_RECORDS = 300;
