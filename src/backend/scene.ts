import { asDenimError } from "../base/errors.ts";
import type { Prefix } from "../ip/prefix.ts";
import type { Hook } from "../plan/hook.ts";
import type { Wanted } from "../plan/wanted.ts";
import type { Backend, Host, Json, LeftOut, Peer, Plan, Scene } from "./backend.ts";

/** A {@link Scene} before its backend has read it: config and data are JSON as they were stored. */
export interface RawScene {
  readonly network: Prefix;
  readonly host: Host;
  readonly config: Json;
  readonly own: Peer<Json>;
  readonly peers: readonly Peer<Json>[];
}

/** A peer whose record the backend could not read. */
export interface DroppedPeer {
  readonly node: string;
  readonly why: string;
}

/**
 * Lets the backend read everything. A bad peer record drops that peer and nothing else.
 *
 * @throws `CONFIG_INVALID` when the config, or the node's own data, cannot be read
 */
export function readScene(
  backend: Backend,
  raw: RawScene,
): { readonly scene: Scene<unknown, Json>; readonly dropped: readonly DroppedPeer[] } {
  const peers: Peer<Json>[] = [];
  const dropped: DroppedPeer[] = [];
  for (const peer of raw.peers) {
    try {
      peers.push({ ...peer, data: backend.parseData(peer.data) });
    } catch (error) {
      dropped.push({ node: peer.node, why: asDenimError(error).message });
    }
  }
  const own = { ...raw.own, data: backend.parseData(raw.own.data) };
  return {
    scene: {
      network: raw.network,
      host: raw.host,
      config: backend.parseConfig(raw.config),
      own,
      peers,
    },
    dropped,
  };
}

/** What a backend wants in the kernel and of programs, apart from what it cannot reach. */
export function splitPlan(plan: Plan): {
  readonly wanted: readonly Wanted[];
  readonly hooks: readonly Hook[];
  readonly leftOut: readonly LeftOut[];
} {
  return {
    wanted: plan.filter((item) => item.kind !== "left-out" && item.kind !== "hook"),
    hooks: plan.filter((item) => item.kind === "hook"),
    leftOut: plan.filter((item) => item.kind === "left-out"),
  };
}
