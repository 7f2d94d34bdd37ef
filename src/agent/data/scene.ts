import { type Address, parseAddress } from "../../ip/address.ts";
import { parsePrefix, type Prefix } from "../../ip/prefix.ts";
import type { Host, Json, LeftOut, Peer } from "../../backend/backend.ts";
import type { DroppedPeer, RawScene } from "../../backend/scene.ts";
import { asDenimError } from "../../base/errors.ts";
import { currentConfig } from "../../lease/current-config.ts";
import type { LeaseBody } from "../../lease/records.ts";
import type { StateReader } from "../../lease/state.ts";

/** This node's own part of a scene, as far as it is known without the cluster. */
export interface OwnLease {
  readonly node: string;
  readonly subnets: readonly string[];
  readonly publicIps: readonly Address[];
  readonly data: Json;
}

/** A scene, and the peers whose records could not be read at all. */
export interface FoundScene extends RawScene {
  readonly unread: readonly DroppedPeer[];
  /** Subnets of nodes that carry packets in another way: none would arrive. */
  readonly leftOut: readonly LeftOut[];
  /** Subnets of peers that nobody hears, where the network config cares. */
  readonly silent: readonly Prefix[];
}

/** Records are immutable: of many peers only the new ones are read. */
const known = new WeakMap<LeaseBody, Omit<Peer<Json>, "node">>();

/**
 * What the backend is shown: this host, its lease and its peers', as plain data. Leases of another
 * backend are not peers of this one, and are left out. A record that cannot be read costs that peer
 * only.
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
  const leftOut: LeftOut[] = [];
  const silent: Prefix[] = [];
  for (const { body } of state.all("lease")) {
    if (body.node === own.node) continue;
    const holder = state.get("node", body.node)?.body;
    const name = holder?.name ?? body.node;
    try {
      const telling = tellingOf(body);
      if (body.backendType !== backendType) {
        leftOut.push(...apart(name, body.backendType, backendType, telling.subnets));
        continue;
      }
      peers.push({ node: name, ...telling });
      if (holder?.silent && network.silentPeer === "unreachable") silent.push(...telling.subnets);
    } catch (error) {
      unread.push({ node: name, why: asDenimError(error).message });
    }
  }
  return {
    network: network.pools[0]!.network,
    host,
    config: JSON.parse(network.backendOptions) as Json,
    own: {
      node: own.node,
      subnets: own.subnets.map(parsePrefix),
      publicIps: own.publicIps,
      data: own.data,
    },
    ...{ peers, unread, leftOut, silent },
  };
}

function apart(name: string, theirs: string, ours: string, subnets: readonly Prefix[]): LeftOut[] {
  const why =
    `${name} has the backend ${theirs || "none"}, and this host ${ours}: they meet when ` +
    "both follow the same network config";
  return subnets.map((destination) => ({ kind: "left-out", destination, why }));
}

/** What a lease tells of its holder. */
function tellingOf(lease: LeaseBody): Omit<Peer<Json>, "node"> {
  const read = known.get(lease);
  if (read !== undefined) return read;
  const peer = {
    subnets: lease.subnets.map(parsePrefix),
    publicIps: publicIpsOf(lease),
    data: JSON.parse(lease.backendData) as Json,
  };
  known.set(lease, peer);
  return peer;
}

/** Of a network without IPv4 the first is IPv6. */
function publicIpsOf({ publicIp, publicIpv6 }: LeaseBody): readonly Address[] {
  return [publicIp, publicIpv6].filter((text) => text !== undefined).map(parseAddress);
}
