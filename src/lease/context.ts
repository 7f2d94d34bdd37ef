import { assert, DenimError } from "../base/errors.ts";
import { currentConfig } from "./current-config.ts";
import type { NetworkConfig } from "./network.ts";
import type { NodeBody, StateRecord } from "./records.ts";
import { type Draft, nodeByName, theCluster } from "./state.ts";

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

/** @throws `NOT_A_MEMBER` */
export function memberOf({ draft }: Context, nodeId: string): NodeBody {
  const record = draft.get("node", nodeId);
  if (record !== undefined) return record.body;
  const removed = draft.get("tombstone", nodeId);
  throw new DenimError("NOT_A_MEMBER", `${removed?.body.name ?? nodeId} is not in this cluster`, {
    why: removed === undefined ? "no such node ever joined" : "it left, or was removed",
    fix: "join again with a new token: denim token create",
  });
}

/** A node by id or by name. */
export function findNode({ draft }: Context, idOrName: string): StateRecord<"node"> {
  const record = draft.get("node", idOrName) ?? nodeByName(draft, idOrName);
  if (record === undefined) throw new DenimError("NOT_FOUND", `There is no node "${idOrName}"`);
  return record;
}
