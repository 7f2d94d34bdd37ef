import {
  containsAddress,
  defineBackend,
  DenimError,
  equalAddress,
  formatAddress,
  formatPrefix,
  type Host,
  ofFamily,
  type Peer,
  type Prefix,
} from "denim/backend";

/** Routes each peer's subnet by that peer's address: no tunnel, no overhead, one shared link. */
export const hostGw = defineBackend<null, null>({
  contract: 1,
  name: "host-gw",
  parseConfig: () => null,
  parseData: () => null,

  publish(host) {
    const natted = host.addresses.find(({ address, publicIp }) => !equalAddress(address, publicIp));
    if (natted === undefined) return { data: null, mtu: host.link.mtu };
    const [told, own] = [formatAddress(natted.publicIp), formatAddress(natted.address)];
    const flag = natted.family === 4 ? "--public-ip" : "--public-ipv6";
    throw new DenimError("CONFIG_INVALID", "Cannot use host-gw behind NAT", {
      why: `peers are told ${told}, but ${host.link.name} has ${own}: a next hop must be ` +
        "an address of the link itself",
      fix: `leave out ${flag}, or set it to ${own}; across NAT use another backend`,
    });
  },

  plan: ({ host, peers }) =>
    peers.flatMap((peer) => peer.subnets.map((subnet) => routeTo(subnet, peer, host))),
});

/** A next hop beyond a router is none: the kernel refuses it, or packets are lost on the way. */
function routeTo(destination: Prefix, { node, publicIps }: Peer<null>, { link, onLink }: Host) {
  const { family } = destination;
  const via = ofFamily(publicIps, family);
  if (via === undefined) {
    const why = `${node} has no IPv${family} address that it could be reached at`;
    return { kind: "left-out" as const, destination, why };
  }
  if (onLink.some((block) => containsAddress(block, via))) {
    return { kind: "route" as const, destination, via, device: link.name };
  }
  const blocks = onLink.filter((block) => block.family === family).map(formatPrefix).join(", ");
  const why =
    `${formatAddress(via)} is not on the link ${link.name} (${blocks || "no address"}): ` +
    "host-gw needs one flat network; vxlan crosses routers";
  return { kind: "left-out" as const, destination, why };
}
