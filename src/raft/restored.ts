import { assert } from "../base/errors.ts";
import { assertConfiguration, type Configuration, EMPTY_CONFIGURATION } from "./configuration.ts";
import { type Entry, NOBODY, type Place } from "./entry.ts";

/** What must be on disk before anything that depends on it leaves (Raft paper, figure 2). */
export interface HardState {
  readonly term: number;
  /** {@link NOBODY}, or for whom this server voted in `term`. */
  readonly vote: number;
  /** Need not be on disk, but saves a restarted server from waiting for a leader to tell. */
  readonly commit: number;
}

/** Everything a core needs to go on where its server stopped. */
export interface Restored {
  readonly hardState: HardState;
  /** The place after which the retained log starts; 0/0 where it starts at the beginning. */
  readonly snapshot: Place;
  readonly entries: readonly Entry[];
  /** How far the driver's state had got. */
  readonly applied: number;
  /** The configuration *as of `applied`*: changes up to there are not applied again. */
  readonly configuration: Configuration;
}

/** A server that joins: it has nothing, and waits to be told everything. */
export const NOTHING_RESTORED: Restored = {
  hardState: { term: 0, vote: NOBODY, commit: 0 },
  snapshot: { index: 0, term: 0 },
  entries: [],
  applied: 0,
  configuration: EMPTY_CONFIGURATION,
};

/**
 * The first server of a new cluster, sole voter from the start. Its log begins *after* place 1/1
 * rather than at the beginning, so that whoever joins later always gets a snapshot first: the
 * founding configuration is in no entry, and a joiner that replayed the log from nothing would
 * arrive at another one.
 */
export function founding(id: number): Restored {
  return {
    hardState: { term: 1, vote: NOBODY, commit: 1 },
    snapshot: { index: 1, term: 1 },
    entries: [],
    applied: 1,
    configuration: { voters: [id], learners: [] },
  };
}

/** Stops where the parts do not fit together: a damaged log must not vote (etcd #16220). */
export function assertRestored(restored: Restored): void {
  const { hardState, snapshot, entries, applied, configuration } = restored;
  const numbers = [hardState.term, hardState.vote, hardState.commit, snapshot.index, applied];
  assert(
    numbers.every((value) => Number.isSafeInteger(value) && value >= 0),
    `indices, terms and ids are whole numbers: ${numbers}`,
  );
  let previous: Place = snapshot;
  for (const entry of entries) {
    assert(entry.index === previous.index + 1, `entry ${entry.index} follows ${previous.index}`);
    assert(entry.term >= previous.term, `terms never fall: ${entry.term} after ${previous.term}`);
    previous = entry;
  }
  assert(
    entries.length === 0 || previous.term <= hardState.term,
    `the log's last term ${previous.term} is not above the stored term ${hardState.term}`,
  );
  const order = [snapshot.index, applied, hardState.commit, previous.index];
  assert(
    order.every((value, i) => i === 0 || order[i - 1]! <= value),
    `log start, applied, commit and log end are in this order: ${order}`,
  );
  assertConfiguration(configuration);
}
