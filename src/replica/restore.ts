import { assert } from "../base/errors.ts";
import { theGroup } from "../lease/state.ts";
import { NOTHING_RESTORED, type Restored } from "../raft/mod.ts";
import type { Copy } from "../store/copy.ts";
import type { Loaded } from "../store/load.ts";

/**
 * What the core goes on with. The state of a store that was an agent's is not that of a log: as a
 * server it starts with nothing but its ballot, and is sent a snapshot.
 */
export function restoredFrom(loaded: Loaded, copy: Copy): Restored {
  const { hardState = NOTHING_RESTORED.hardState, trim, entries, applied } = loaded;
  const fromLog = applied !== undefined && applied.term > 0;
  assert(!fromLog || copy.index === applied.index, "the copy is the one of this store");
  return {
    hardState,
    snapshot: { index: trim.index, term: trim.term },
    entries,
    applied: fromLog ? copy.index : 0,
    configuration: fromLog ? theGroup(copy.state) : NOTHING_RESTORED.configuration,
  };
}

/** Whether a store is that of a member of the group, which goes on with its log. */
export function holdsLog({ format, hardState, entries, trim }: Loaded, copy: Copy): boolean {
  const { voters, learners } = theGroup(copy.state);
  const raftId = format?.raftId;
  return raftId !== undefined && hardState !== undefined &&
    (entries.length > 0 || trim.index > 0) && [...voters, ...learners].includes(raftId);
}
