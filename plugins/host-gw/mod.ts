import { defineBackend, DenimError, equalAddress, formatAddress } from "denim/backend";

/** Routes each peer's subnet by that peer's address: no tunnel, no overhead, one shared link. */
export const hostGw = defineBackend<null, null>({
  contract: 1,
  name: "host-gw",
  parseConfig: () => null,
  parseData: () => null,

  publish(host) {
    if (!equalAddress(host.publicIp, host.address)) {
      const [told, own] = [formatAddress(host.publicIp), formatAddress(host.address)];
      throw new DenimError("CONFIG_INVALID", "Cannot use host-gw behind NAT", {
        why: `peers are told ${told}, but ${host.link.name} has ${own}: a next hop must be ` +
          "an address of the link itself",
        fix: `leave out --public-ip, or set it to ${own}; across NAT use another backend`,
      });
    }
    return { data: null, mtu: host.link.mtu };
  },

  plan: ({ host, peers }) =>
    peers.flatMap((peer) =>
      peer.subnets
        .filter((subnet) => subnet.family === peer.publicIp.family)
        .map((destination) => ({
          kind: "route" as const,
          destination,
          via: peer.publicIp,
          device: host.link.name,
        }))
    ),
});
