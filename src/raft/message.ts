import type { Configuration } from "./configuration.ts";
import type { Entry, Place, Proposal } from "./entry.ts";

/**
 * What servers tell each other. The set, and when each is sent, follow etcd's raft, so that its
 * public interaction scripts can be replayed message by message. Messages may be lost, repeated
 * and reordered; none may be changed, and `from` must be proved by the transport.
 */
export type Message =
  | PreVote
  | PreVoteResponse
  | Vote
  | VoteResponse
  | Append
  | AppendAccepted
  | AppendRejected
  | Heartbeat
  | HeartbeatResponse
  | SnapshotOffer
  | TimeoutNow
  | ReadIndex
  | ReadIndexResponse
  | Propose
  | Transfer;

interface Envelope {
  readonly from: number;
  readonly to: number;
  /** The sender's term; 0 on requests that belong to no term. */
  readonly term: number;
}

/** "Would you vote for me?" `term` is the one after the sender's (Raft thesis, section 9.6). */
export interface PreVote extends Envelope {
  readonly kind: "pre-vote";
  readonly lastIndex: number;
  readonly lastTerm: number;
}

/** A grant echoes the request's term; a refusal carries the sender's own (canonical/raft #279). */
export interface PreVoteResponse extends Envelope {
  readonly kind: "pre-vote-response";
  readonly granted: boolean;
  /** With a refusal: how far the sender knows the log to be committed. */
  readonly committed?: Place;
}

/** RequestVote (Raft paper, section 5.2). */
export interface Vote extends Envelope {
  readonly kind: "vote";
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** The leader itself asked for this election: its lease does not stand in the way. */
  readonly transfer: boolean;
}

export interface VoteResponse extends Envelope {
  readonly kind: "vote-response";
  readonly granted: boolean;
  /** With a refusal, see {@link PreVoteResponse}. */
  readonly committed?: Place;
}

/** AppendEntries (Raft paper, section 5.3). */
export interface Append extends Envelope {
  readonly kind: "append";
  readonly previousIndex: number;
  readonly previousTerm: number;
  readonly entries: readonly Entry[];
  readonly commit: number;
}

/** The log matches the leader's up to `index`. With index 0: "your term is over". */
export interface AppendAccepted extends Envelope {
  readonly kind: "append-accepted";
  readonly index: number;
}

/** No match at `index`; the best place to try next is `hintIndex`, whose term is `hintTerm`. */
export interface AppendRejected extends Envelope {
  readonly kind: "append-rejected";
  readonly index: number;
  readonly hintIndex: number;
  /** 0 where the term of that place is not known any more. */
  readonly hintTerm: number;
}

export interface Heartbeat extends Envelope {
  readonly kind: "heartbeat";
  /** Never above what this follower has acknowledged. */
  readonly commit: number;
  /** The newest read that waits for a confirmation; 0 for none. */
  readonly readPosition: number;
}

export interface HeartbeatResponse extends Envelope {
  readonly kind: "heartbeat-response";
  readonly readPosition: number;
}

/** The state that a log before `index` led to. The core knows no more of it than this. */
export interface SnapshotMeta {
  readonly index: number;
  readonly term: number;
  readonly configuration: Configuration;
}

/** InstallSnapshot (Raft paper, section 7); the driver sends the data along with it. */
export interface SnapshotOffer extends Envelope {
  readonly kind: "snapshot";
  readonly snapshot: SnapshotMeta;
}

/** "Campaign now": the end of a leadership transfer (Raft thesis, section 3.10). */
export interface TimeoutNow extends Envelope {
  readonly kind: "timeout-now";
}

/** A follower asks for a read index on behalf of its client (Raft thesis, section 6.4). */
export interface ReadIndex extends Envelope {
  readonly kind: "read-index";
  readonly context: string;
}

export interface ReadIndexResponse extends Envelope {
  readonly kind: "read-index-response";
  readonly context: string;
  readonly index: number;
}

/** A follower passes proposals on. */
export interface Propose extends Envelope {
  readonly kind: "propose";
  readonly proposals: readonly Proposal[];
}

/** A follower passes on the wish that `transferee` should lead. */
export interface Transfer extends Envelope {
  readonly kind: "transfer";
  readonly transferee: number;
}

type Unsent<M> = M extends Message ? Omit<M, "from" | "term"> : never;

/** A message before it has a sender and a term. */
export type Outgoing = Unsent<Message>;

/**
 * These state something about the sender's disk, so they may leave only after the write that makes
 * it true (Raft paper, figure 2: "respond to RPCs" after "updated on stable storage").
 */
export function waitsForWrite(kind: Message["kind"]): boolean {
  return kind === "append-accepted" || kind === "append-rejected" ||
    kind === "vote-response" || kind === "pre-vote-response";
}

export function isResponse(kind: Message["kind"]): boolean {
  return waitsForWrite(kind) || kind === "heartbeat-response" || kind === "read-index-response";
}
