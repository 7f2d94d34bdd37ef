import { asDenimError } from "../base/errors.ts";
import type { Backend, Host, Json, Peer, Scene } from "./backend.ts";

/** A {@link Scene} before its backend has read it: config and data are JSON as they were stored. */
export interface RawScene {
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
    scene: { host: raw.host, config: backend.parseConfig(raw.config), own, peers },
    dropped,
  };
}
