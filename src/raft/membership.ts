/** Single-server changes, in force when applied (Raft thesis, section 4.1, and etcd). */
import { type Change, changed, type Configuration, isVoter } from "./configuration.ts";
import { becomeFollower, type Core, peers, useConfiguration } from "./core.ts";
import { NOBODY } from "./entry.ts";
import { finishReads } from "./reads.ts";
import { broadcastAppend, maybeCommit, sendAppend } from "./replication.ts";

/** A change that is refused is applied as nothing: by every server alike, so none differs. */
export function applyChange(core: Core, change: Change): Configuration {
  useConfiguration(core, changed(core.configuration, change) ?? core.configuration);
  if (core.role === "leader") afterChange(core);
  return core.configuration;
}

/**
 * A smaller majority may have what was pending already; a new member need not wait for the next
 * heartbeat to hear of its leader.
 */
function afterChange(core: Core): void {
  if (!isVoter(core.configuration, core.id) && core.options.stepDownOnRemoval) {
    becomeFollower(core, core.term, NOBODY);
    return;
  }
  if (!isVoter(core.configuration, core.id)) return;
  if (maybeCommit(core)) broadcastAppend(core);
  else peers(core).forEach((id) => sendAppend(core, id, { evenEmpty: false }));
  finishReads(core);
  if (!isVoter(core.configuration, core.transferee)) core.transferee = NOBODY;
}
