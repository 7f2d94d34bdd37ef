import { type Address, parseAddress } from "../ip/address.ts";
import { parsePrefix } from "../ip/prefix.ts";
import type { Host, Json, Peer } from "../backend/backend.ts";
import type { RawScene } from "../backend/scene.ts";
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

/**
 * What the backend is shown: this host, its lease and its peers', as plain data. Leases of another
 * backend are not peers of this one.
 */
export function sceneOf(
  state: StateReader,
  host: Host,
  own: OwnLease,
  backendType: string,
): RawScene | undefined {
  const config = theNetwork(state);
  if (config === undefined) return undefined;
  const { backendOptions } = parseNetworkConfig(config, { unknownKeys: "keep" });
  const peers = [...state.all("lease")]
    .map(({ body }) => body)
    .filter((lease) => lease.node !== own.node && lease.backendType === backendType)
    .map((lease) => peerOf(state, lease));
  return {
    host,
    config: JSON.parse(backendOptions) as Json,
    own: {
      node: own.node,
      subnets: own.subnets.map(parsePrefix),
      publicIp: own.publicIp,
      data: own.data,
    },
    peers,
  };
}

function peerOf(state: StateReader, lease: LeaseBody): Peer<Json> {
  return {
    node: state.get("node", lease.node)?.body.name ?? lease.node,
    subnets: lease.subnets.map(parsePrefix),
    publicIp: parseAddress(lease.publicIp),
    data: JSON.parse(lease.backendData) as Json,
  };
}
