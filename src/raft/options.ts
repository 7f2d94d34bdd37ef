import { assert } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { Restored } from "./restored.ts";

export interface RaftOptions extends RaftLimits {
  /** This server's raft id, from 1. Never used again after a store was lost (cockroach #756). */
  readonly id: number;
  /**
   * Without a leader's word for this long, drawn anew from `[electionTicks, 2 × electionTicks)`
   * each time, a server campaigns (Raft paper, section 5.2). Also the lease of check-quorum.
   */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Ask before campaigning, so that a cut-off server does not raise everyone's term. */
  readonly preVote: boolean;
  /** A leader without a majority steps down; whoever hears a leader ignores other candidates. */
  readonly checkQuorum: boolean;
  /** A leader that its own change removed or demoted stops leading when it applies that. */
  readonly stepDownOnRemoval: boolean;
  /** A follower passes proposals on to its leader instead of answering `no-leader`. */
  readonly forwardProposals?: boolean;
  readonly random: Random;
  readonly restored: Restored;
}

/** Every queue and message has a limit. `Infinity` lifts one. */
export interface RaftLimits {
  /** Entries in one append; a single bigger entry still goes. */
  readonly maxAppendBytes: number;
  /** Appends under way to one follower. */
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  /** Payload in the log that is not yet applied; above it proposals are refused. */
  readonly maxUncommittedBytes: number;
  /** Committed entries in one {@link Ready}; `maxAppendBytes` where absent. */
  readonly maxCommittedBytes?: number;
}

const KIB = 1024;

/** For a LAN, commands of a few hundred bytes and at most seven servers. */
export const SUGGESTED_LIMITS: RaftLimits = {
  maxAppendBytes: 256 * KIB,
  maxInflightMessages: 64,
  maxInflightBytes: 4096 * KIB,
  maxUncommittedBytes: 16 * 1024 * KIB,
};

export function assertOptions(options: RaftOptions): void {
  assert(Number.isSafeInteger(options.id) && options.id > 0, `a raft id is from 1: ${options.id}`);
  assert(options.heartbeatTicks > 0, "heartbeats are at least one tick apart");
  assert(
    options.electionTicks > options.heartbeatTicks,
    "the election timeout is longer than a heartbeat, or nobody stays leader",
  );
  assert(options.maxInflightMessages > 0, "one message at least may be under way");
}
