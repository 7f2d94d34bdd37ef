import { type Address, parseAddress } from "../ip/address.ts";
import { parsePrefix } from "../ip/prefix.ts";
import type { Host, Json, Peer } from "../backend/backend.ts";
import type { DroppedPeer, RawScene } from "../backend/scene.ts";
import { asDenimError } from "../base/errors.ts";
import { currentConfig } from "../lease/current-config.ts";
import type { LeaseBody } from "../lease/records.ts";
import type { StateReader } from "../lease/state.ts";

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

/** Records are immutable: of many peers only the new ones are read. */
const known = new WeakMap<LeaseBody, Omit<Peer<Json>, "node">>();

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
  const network = currentConfig(state);
  if (network === undefined) return undefined;
  const peers: Peer<Json>[] = [];
  const unread: DroppedPeer[] = [];
  for (const { body } of state.all("lease")) {
    if (body.node === own.node || body.backendType !== backendType) continue;
    const name = state.get("node", body.node)?.body.name ?? body.node;
    try {
      peers.push({ node: name, ...tellingOf(body) });
    } catch (error) {
      unread.push({ node: name, why: asDenimError(error).message });
    }
  }
  return {
    host,
    config: JSON.parse(network.backendOptions) as Json,
    own: {
      node: own.node,
      subnets: own.subnets.map(parsePrefix),
      publicIp: own.publicIp,
      data: own.data,
    },
    ...{ peers, unread },
  };
}

/** What a lease tells of its holder. */
function tellingOf(lease: LeaseBody): Omit<Peer<Json>, "node"> {
  const read = known.get(lease);
  if (read !== undefined) return read;
  const peer = {
    subnets: lease.subnets.map(parsePrefix),
    publicIp: parseAddress(lease.publicIp),
    data: JSON.parse(lease.backendData) as Json,
  };
  known.set(lease, peer);
  return peer;
}
