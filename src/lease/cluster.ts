import type { Canonical } from "../base/canonical.ts";
import type { Command } from "./command.ts";
import type { Epoch, StateRecord } from "./records.ts";
import type { StateReader } from "./state.ts";

/** A point in one history. */
export type Position = {
  readonly epoch: Epoch;
  readonly revision: number;
};

/** One record of one entry, as watchers see it. */
export interface Event {
  readonly before: StateRecord | undefined;
  readonly after: StateRecord | undefined;
}

/**
 * What a follower is told, in this order: one snapshot (or nothing, when it could resume), then
 * events, each entry's together; progress in between, so that silence can be told from stillness.
 */
export type Feed =
  | {
    readonly kind: "snapshot";
    readonly position: Position;
    readonly records: readonly StateRecord[];
  }
  | {
    readonly kind: "events";
    readonly position: Position;
    readonly events: readonly Event[];
  }
  | {
    readonly kind: "progress";
    readonly position: Position;
    /** Digest of the revisioned records at this position, 16 hex digits. */
    readonly digest: string;
    /** Milliseconds since the server last heard of a leader; `undefined` when it knows of none. */
    readonly leaderAgeMs: number | undefined;
  };

/** The state as one node knows it now. */
export interface View {
  readonly state: StateReader;
  readonly position: Position;
  /**
   * Milliseconds since a leader stood behind this view, in this process's lifetime; `undefined`
   * when none ever has, as right after a start from the node's own disk.
   */
  readonly leaderAgeMs: number | undefined;
  readonly leaderNode: string | undefined;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/**
 * The cluster as the rest of a node sees it. Drivers: `replica/` on a server, `remote/` on an
 * agent; another could keep the state in an existing engine. Every driver passes
 * `test/contract/cluster.ts`.
 */
export interface Cluster extends AsyncDisposable {
  /**
   * Resolves with the command's answer once it is applied, on whichever node leads.
   *
   * @throws the refusal that `apply` answered; `NO_LEADER` or `TIMEOUT` when it was not proposed;
   * `OUTCOME_UNKNOWN` when it may or may not have been applied: send it again, commands are
   * idempotent.
   */
  propose(command: Command, options?: CallOptions): Promise<Canonical>;
  /**
   * `stale` answers from this node at once. `linearizable` has seen every write that was
   * acknowledged before the call. @throws `NO_LEADER` `TIMEOUT`
   */
  read(level: "stale" | "linearizable", options?: CallOptions): Promise<View>;
  /** What this node knows now; `undefined` before it knows anything. */
  view(): View | undefined;
  /**
   * Everything from a position on; from nowhere it starts with a snapshot. Ends when `signal`
   * does, or when the follower is too slow: it then resumes from the last position it saw.
   */
  follow(from: Position | undefined, signal: AbortSignal): AsyncIterable<Feed>;
  /** Calls back, coalesced, when the view has changed. The result stops it. */
  onChange(callback: () => void): () => void;
}
