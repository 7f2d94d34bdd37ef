import { assert, DenimError } from "../base/errors.ts";
import { currentConfig } from "./current-config.ts";
import { theHold } from "./hold.ts";
import type { NetworkConfig } from "./network.ts";
import type { NodeBody, StateRecord } from "./records.ts";
import { type Draft, nodeByName, type StateReader, theCluster } from "./state.ts";

/** What one command works on. */
export interface Context {
  readonly draft: Draft;
  /** The leader's wall clock when it proposed the entry. */
  readonly wallMs: number;
}

export function clusterOf({ draft }: Context) {
  const cluster = theCluster(draft);
  if (cluster === undefined) throw new DenimError("NOT_FOUND", "There is no cluster yet");
  return cluster;
}

export function configOf({ draft }: Context): NetworkConfig {
  const config = currentConfig(draft);
  assert(config !== undefined, "a cluster has a network config");
  return config;
}

/** @throws `NOT_A_MEMBER`; `EPOCH_MISMATCH` where it may come back by `node.readmit` */
export function memberOf({ draft }: Context, nodeId: string): NodeBody {
  const record = draft.get("node", nodeId);
  if (record !== undefined) return record.body;
  const removed = draft.get("tombstone", nodeId);
  if (mayComeBack(draft, nodeId)) {
    throw new DenimError("EPOCH_MISMATCH", `${nodeId} is not known in this epoch`, {
      why: "it joined after the state was saved that the cluster goes on from",
      fix: "the node comes back by itself",
    });
  }
  throw new DenimError("NOT_A_MEMBER", `${removed?.body.name ?? nodeId} is not in this cluster`, {
    why: removed === undefined ? "no such node ever joined" : "it left, or was removed",
    fix: "join again with a new token: denim token create",
  });
}

/**
 * True for a node that this state does not know, where it may have joined in what was lost. What
 * lets it in is its certificate; who was removed is remembered for as long as that is good.
 */
export function mayComeBack(state: StateReader, nodeId: string): boolean {
  return theHold(state) !== undefined && state.get("node", nodeId) === undefined &&
    state.get("tombstone", nodeId) === undefined;
}

/** A node by id or by name. */
export function findNode({ draft }: Context, idOrName: string): StateRecord<"node"> {
  const record = draft.get("node", idOrName) ?? nodeByName(draft, idOrName);
  if (record === undefined) throw new DenimError("NOT_FOUND", `There is no node "${idOrName}"`);
  return record;
}
