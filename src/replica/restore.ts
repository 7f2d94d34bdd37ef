import { theGroup } from "../lease/state.ts";
import { NOTHING_RESTORED, type Restored } from "../raft/mod.ts";
import type { Copy } from "../store/copy.ts";
import type { Loaded } from "../store/load.ts";

/**
 * What the core goes on with. A store that has a state but no log is that of an agent: as a server
 * it starts with nothing but its ballot, and is sent a snapshot.
 */
export function restoredFrom(loaded: Loaded, copy: Copy): Restored {
  const { hardState, trim, entries } = loaded;
  if (hardState === undefined) return NOTHING_RESTORED;
  if (trim.index === 0 && entries.length === 0) {
    return { ...NOTHING_RESTORED, hardState: { ...hardState, commit: 0 } };
  }
  return {
    hardState,
    snapshot: { index: trim.index, term: trim.term },
    entries,
    applied: copy.index,
    configuration: theGroup(copy.state),
  };
}
