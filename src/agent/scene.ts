import { type Address, parseAddress } from "../ip/address.ts";
import { parsePrefix } from "../ip/prefix.ts";
import type { Host, Json, Peer } from "../backend/backend.ts";
import type { DroppedPeer, RawScene } from "../backend/scene.ts";
import { asDenimError } from "../base/errors.ts";
import { parseNetworkConfig } from "../lease/network.ts";
import type { LeaseBody } from "../lease/records.ts";
import { type StateReader, theNetwork } from "../lease/state.ts";

/** This node's own part of a scene, as far as it is known without the cluster. */
export interface OwnLease {
  readonly node: string;
  readonly subnets: readonly string[];
  readonly publicIp: Address;
  readonly data: Json;
}

/** A scene, and the peers whose records could not be read at all. */
export interface FoundScene extends RawScene {
  readonly unread: readonly DroppedPeer[];
}

/**
 * What the backend is shown: this host, its lease and its peers', as plain data. Leases of another
 * backend are not peers of this one. A record that cannot be read costs that peer only.
 */
export function sceneOf(
  state: StateReader,
  host: Host,
  own: OwnLease,
  backendType: string,
): FoundScene | undefined {
  const config = theNetwork(state);
  if (config === undefined) return undefined;
  const { backendOptions } = parseNetworkConfig(config, { unknownKeys: "keep" });
  const peers: Peer<Json>[] = [];
  const unread: DroppedPeer[] = [];
  for (const { body } of state.all("lease")) {
    if (body.node === own.node || body.backendType !== backendType) continue;
    const name = state.get("node", body.node)?.body.name ?? body.node;
    try {
      peers.push(peerOf(name, body));
    } catch (error) {
      unread.push({ node: name, why: asDenimError(error).message });
    }
  }
  return {
    host,
    config: JSON.parse(backendOptions) as Json,
    own: {
      node: own.node,
      subnets: own.subnets.map(parsePrefix),
      publicIp: own.publicIp,
      data: own.data,
    },
    ...{ peers, unread },
  };
}

function peerOf(node: string, lease: LeaseBody): Peer<Json> {
  return {
    node,
    subnets: lease.subnets.map(parsePrefix),
    publicIp: parseAddress(lease.publicIp),
    data: JSON.parse(lease.backendData) as Json,
  };
}
