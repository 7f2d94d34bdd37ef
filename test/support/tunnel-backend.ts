import {
  type Address,
  baseAddress,
  defineBackend,
  DenimError,
  isMac,
  type Link,
  localMac,
  type Mac,
  ofFamily,
  type Peer,
  widthOf,
} from "../../src/backend/mod.ts";
import type { Plan } from "../../src/backend/backend.ts";

/** Header of a vxlan packet over IPv4, with the Ethernet header that it carries (RFC 7348). */
const OVERHEAD = 50;
const DEVICE = "denim.7";

interface TunnelConfig {
  readonly vni: number;
}

/**
 * Wants something of every kind: a tunnel to all peers, IPv4 alone. For tests; it cannot do what a
 * backend for users has to.
 */
export const tunnel = defineBackend<TunnelConfig, { readonly mac: Mac }>({
  contract: 1,
  name: "test-tunnel",
  parseConfig: (json) => ({ vni: (json as { VNI?: number } | null)?.VNI ?? 7 }),
  parseData(json) {
    const mac = (json as { mac?: unknown } | null)?.mac;
    if (typeof mac === "string" && isMac(mac)) return { mac };
    throw new DenimError("CONFIG_INVALID", "A peer has published no MAC address");
  },
  publish: ({ link, secret }) => ({ data: { mac: localMac(secret) }, mtu: link.mtu - OVERHEAD }),
  plan({ network, host, config, own, peers }) {
    const link: Link = {
      ...{ kind: "link", name: DEVICE, network, mac: own.data.mac, mtu: host.link.mtu - OVERHEAD },
      tunnel: {
        ...{ kind: "vxlan", vni: config.vni, port: 8472, learning: false },
        ...{ local: host.addresses[0]!.address, underlay: host.link.name },
      },
    };
    const address = gateOf(own);
    const length = widthOf(address.family);
    return [link, { kind: "address", device: DEVICE, address, length }, ...peers.flatMap(planTo)];
  },
});

function planTo(peer: Peer<{ readonly mac: Mac }>): Plan {
  const { subnets: [destination], publicIps, data: { mac } } = peer;
  const via = gateOf(peer);
  return [
    { kind: "neighbour", device: DEVICE, address: via, mac },
    { kind: "forwarding", device: DEVICE, mac, remote: ofFamily(publicIps, 4)! },
    { kind: "route", destination: destination!, via, device: DEVICE, onlink: true },
  ];
}

/** The address that a node has in the tunnel: its subnet's first. */
function gateOf({ subnets: [subnet] }: Pick<Peer<unknown>, "subnets">): Address {
  return baseAddress(subnet!);
}
