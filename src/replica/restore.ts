import { theGroup } from "../lease/state.ts";
import { NOTHING_RESTORED, type Restored } from "../raft/mod.ts";
import type { Copy } from "../store/copy.ts";
import type { Loaded } from "../store/load.ts";

/**
 * What the core goes on with. A store that has a state but no log is that of an agent: as a server
 * it starts with nothing and is sent a snapshot.
 */
export function restoredFrom(loaded: Loaded, copy: Copy): Restored {
  const { hardState, trim, entries } = loaded;
  if (hardState === undefined) return NOTHING_RESTORED;
  return {
    hardState,
    snapshot: { index: trim.index, term: trim.term },
    entries,
    applied: copy.index,
    configuration: theGroup(copy.state),
  };
}
