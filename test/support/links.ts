import { parseAddress } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import type { KernelLink } from "../../src/plan/kernel.ts";
import { aliasOf, LINK_GROUP } from "../../src/plan/mark.ts";
import type {
  ForwardingEntry,
  Link,
  LinkAddress,
  Neighbour,
  Vxlan,
} from "../../src/plan/wanted.ts";

/** A wanted tunnel over `eth0` of 10.0.0.1. */
export function vxlan(options: Partial<Omit<Link, "tunnel">> & Partial<Vxlan> = {}): Link {
  const { name = "denim.1", network = parsePrefix("10.42.0.0/16"), mtu = 1450 } = options;
  const { mac = "02:00:00:00:00:01", vni = 1, port = 8472, underlay = "eth0" } = options;
  const { local = parseAddress("10.0.0.1"), learning = false, gbp } = options;
  const tunnel = { kind: "vxlan" as const, vni, port, local, underlay, learning };
  return {
    ...{ kind: "link", name, network, mac, mtu },
    tunnel: gbp === undefined ? tunnel : { ...tunnel, gbp },
  };
}

/** The same as the kernel has it: ours, and up, if nothing else is said. */
export function kernelLink(
  link: Link,
  options: Partial<KernelLink> & { group?: number; alias?: string } = {},
): KernelLink {
  const { name, mtu, mac, network, tunnel } = link;
  const { group = LINK_GROUP, alias = aliasOf(network), ...rest } = options;
  const detail = { mac, group, alias, ...(tunnel === undefined ? {} : { tunnel }) };
  return { index: 7, name, up: true, mtu, detail, ...rest };
}

/** `10.42.1.0/32`: a wanted address of `denim.1`, if nothing else is said. */
export function linkAddress(text: string, device = "denim.1"): LinkAddress {
  const [address, length] = text.split("/");
  return { kind: "address", device, address: parseAddress(address!), length: Number(length) };
}

export function neighbour(address: string, mac: string, device = "denim.1"): Neighbour {
  return { kind: "neighbour", device, address: parseAddress(address), mac };
}

export function forwarding(mac: string, remote: string, device = "denim.1"): ForwardingEntry {
  return { kind: "forwarding", device, mac, remote: parseAddress(remote) };
}
