import {
  type Address,
  baseAddress,
  comparePrefix,
  containsAddress,
  type Family,
  formatAddress,
  type Host,
  type LeftOut,
  type Link,
  type LinkAddress,
  type Mac,
  ofFamily,
  parsePrefix,
  type Peer,
  type Plan,
  type Prefix,
  type Route,
  type Scene,
  type Wanted,
  widthOf,
} from "denim/backend";
import { DEFAULT_PORT, type Vtep, type VxlanConfig } from "./config.ts";

/** Of the inner Ethernet header, and the outer VXLAN (RFC 7348), UDP and IP ones: bytes. */
const OVERHEAD: Readonly<Record<Family, number>> = { 4: 14 + 8 + 8 + 20, 6: 14 + 8 + 8 + 40 };

const LINK_LOCAL = parsePrefix("fe80::/10");

/** This host's end of the tunnel that goes by one address family. */
interface End {
  readonly family: Family;
  readonly link: Link;
  readonly address: LinkAddress;
}

type VxlanScene = Scene<VxlanConfig, Vtep>;

/** `denim.1`, and `denim6.1` for the tunnel over IPv6: with 24 bits 15 letters, which is the most. */
export function linkName(vni: number, family: Family): string {
  return `denim${family === 4 ? "" : "6"}.${vni}`;
}

/** What fits into a packet of the underlay beside the outer headers: bytes. */
export function innerMtu({ link }: Host, { mtu = link.mtu }: VxlanConfig, family: Family): number {
  return Math.min(mtu, link.mtu) - OVERHEAD[family];
}

/** Routers do not pass on what is sent to such an address, nor does a tunnel know which link. */
export function isLinkLocal(address: Address): boolean {
  return containsAddress(LINK_LOCAL, address);
}

/**
 * The own end, and of each peer the way to its subnet: a neighbour on the tunnel that stands for
 * its host, where that neighbour's MAC address is, and a route by it.
 */
export function planVxlan(scene: VxlanScene): Plan {
  const ends = scene.own.subnets.map((subnet) => endOf(scene, subnet))
    .filter((end) => end !== undefined);
  const holders = holdersOf(scene.peers);
  return [
    ...ends.flatMap(({ link, address }) => [link, address]),
    ...scene.peers.flatMap((peer) =>
      peer.subnets.flatMap((subnet) =>
        wayTo(subnet, peer, scene, ofFamily(ends, subnet.family), holders)
      )
    ),
  ];
}

/** A host that has lost a family goes on with the other. */
function endOf({ network, host, config, own }: VxlanScene, subnet: Prefix): End | undefined {
  const { family } = subnet;
  const local = ofFamily(host.addresses, family)?.address;
  if (local === undefined || isLinkLocal(local)) return undefined;
  const { vni, port, learning, gbp } = config;
  const name = linkName(vni, family);
  const tunnel = { kind: "vxlan" as const, vni, port, local, underlay: host.link.name, learning };
  const link: Link = {
    ...{ kind: "link", name, network, mac: own.data.VtepMAC },
    mtu: innerMtu(host, config, family),
    tunnel: gbp ? { ...tunnel, gbp } : tunnel,
  };
  // The whole address and no block: the kernel would make a route for one, past the peers'.
  const address = { family, value: subnet.base };
  return {
    ...{ family, link },
    address: { kind: "address", device: name, address, length: widthOf(family) },
  };
}

/** Whose a MAC address is, where several say it: a tunnel knows one host for each. */
function holdersOf(peers: readonly Peer<Vtep>[]): ReadonlyMap<Mac, Peer<Vtep>> {
  const holders = new Map<Mac, Peer<Vtep>>();
  for (const peer of peers) {
    const { VtepMAC } = peer.data;
    const other = holders.get(VtepMAC);
    if (other === undefined || isBefore(peer, other)) holders.set(VtepMAC, peer);
  }
  return holders;
}

function isBefore({ subnets: [a] }: Peer<Vtep>, { subnets: [b] }: Peer<Vtep>): boolean {
  return a !== undefined && b !== undefined && comparePrefix(a, b) < 0;
}

function wayTo(
  destination: Prefix,
  peer: Peer<Vtep>,
  scene: VxlanScene,
  end: End | undefined,
  holders: ReadonlyMap<Mac, Peer<Vtep>>,
): (Wanted | LeftOut)[] {
  const { family } = destination;
  const { host: { link, onLink }, config, own } = scene;
  const leftOut = (why: string): LeftOut[] => [{ kind: "left-out", destination, why }];
  const remote = ofFamily(peer.publicIps, family);
  if (remote === undefined) {
    return leftOut(`${peer.node} has no IPv${family} address that it could be reached at`);
  }
  if (config.directRouting && onLink.some((block) => containsAddress(block, remote))) {
    return [{ kind: "route", destination, via: remote, device: link.name }];
  }
  if (end === undefined) return leftOut(`this host has no IPv${family} address for the tunnel`);
  if (isLinkLocal(remote)) {
    return leftOut(`${peer.node} is at ${formatAddress(remote)}, which is link-local`);
  }
  const otherTunnel = mismatch(peer, config);
  if (otherTunnel !== undefined) return leftOut(otherTunnel);
  const mac = peer.data.VtepMAC;
  const holder = mac === own.data.VtepMAC ? own : holders.get(mac);
  if (holder !== undefined && holder !== peer) {
    const whose = holder === own ? "this host's" : `${holder.node}'s`;
    return leftOut(`${peer.node}'s MAC address ${mac} is ${whose}, too: was one host copied?`);
  }
  const device = end.link.name;
  const address = baseAddress(destination);
  const route: Route = { kind: "route", destination, via: address, device, onlink: true };
  return [
    { kind: "neighbour", device, address, mac },
    { kind: "forwarding", device, mac, remote },
    route,
  ];
}

/** What is sent into another tunnel than the peer's arrives nowhere. */
function mismatch(
  { node, data: { VNI, Port = DEFAULT_PORT } }: Peer<Vtep>,
  { vni, port }: VxlanConfig,
): string | undefined {
  if (VNI === vni && Port === port) return undefined;
  return `${node} has the tunnel of VNI ${VNI} and port ${Port}, this host that of VNI ${vni} ` +
    `and port ${port}: they meet when both follow the same network config`;
}
