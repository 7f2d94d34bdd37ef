import type { Host, Peer } from "../../src/backend/backend.ts";
import { parseAddress } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";

/** `10.0.0.1/24`, `fd00::1/64`: a machine with these addresses on its `eth0`, as a backend sees it. */
export function hostAt(...places: string[]): Host {
  return {
    link: { name: "eth0", index: 2, mtu: 1500 },
    addresses: places.map((place) => {
      const address = parseAddress(place.split("/")[0]!);
      return { family: address.family, address, publicIp: address };
    }),
    onLink: places.map(parsePrefix),
    secret: new Uint8Array(32),
  };
}

/** A node at these public addresses (`10.0.0.2`, or several with commas between) and its subnets. */
export function peerAt(node: string, publicIps: string, ...subnets: string[]): Peer<null> {
  return {
    node,
    publicIps: publicIps.split(",").filter(Boolean).map(parseAddress),
    subnets: subnets.map(parsePrefix),
    data: null,
  };
}
