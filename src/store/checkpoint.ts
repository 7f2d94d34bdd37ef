import { damaged } from "./codec.ts";

/** What a replica's state was when it had applied the entry at `index`. */
export interface Checkpoint {
  readonly index: number;
  /** Of the revisioned records, and of those that servers alone have: 16 hex digits each. */
  readonly digest: string;
  readonly clockDigest: string;
}

/** Of a leader that has not applied a check entry yet. */
export const NO_CHECKPOINT: Checkpoint = { index: 0, digest: "", clockDigest: "" };

/**
 * Equal entries have led to equal states, or a disk, a memory or a program has failed. A check
 * entry says what the leader had at the one before; who has something else at that place stops.
 *
 * @throws `STORE_DAMAGED`
 */
export function compare(own: Checkpoint, leaders: Checkpoint): void {
  if (own.index !== leaders.index) return;
  if (own.digest === leaders.digest && own.clockDigest === leaders.clockDigest) return;
  throw damaged(`at ${own.index} its state is not the leader's: a record was lost or changed`);
}
