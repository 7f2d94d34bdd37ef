/** What becomes of a packet between a container and the wire. */
import { FORWARDING } from "../host/sysctl.ts";
import type { Family } from "../ip/address.ts";
import { contains, formatPrefix } from "../ip/prefix.ts";
import { networkOf } from "../plan/mark.ts";
import type { Facts } from "./facts.ts";
import { type Finding, mendable, ok, type Setting, sysctlFix } from "./finding.ts";

export function checkForwarding(facts: Facts): Finding[] {
  const families = ([4, 6] as const).filter((family) => isUsed(facts, family));
  return [
    ...families.map((family) => forwarding(facts, family)),
    returnPath(facts),
    bridgeFilter(facts),
    ...families.map((family) => forwardPolicy(facts, family)),
    shielded(facts),
    checksums(facts),
    ...families.map((family) => neighbours(facts, family)),
    ...(families.includes(6) ? [routesIpv6(facts)] : []),
  ].filter((finding) => finding !== undefined);
}

/** Of a network that is not known yet it is taken that it is IPv4. */
function isUsed({ networks }: Facts, family: Family): boolean {
  return networks.length === 0 ? family === 4 : networks.some((one) => one.family === family);
}

function forwarding(facts: Facts, family: Family): Finding {
  const { setting, daemon } = facts;
  const check = family === 4 ? "ip-forward" : "ip-forward-6";
  const path = FORWARDING[family];
  const value = setting(path);
  if (value === undefined) {
    return {
      ...{ check, result: "failed", found: `this kernel has no IPv${family}` },
      why: `no container's IPv${family} packet would get anywhere`,
      fix: `use a network without IPv${family}`,
    };
  }
  if (value !== "0") return ok(check, `IPv${family} packets are passed on`);
  const settings = [...(family === 6 ? routerSettings(facts) : []), { path, value: "1" }];
  const found = `${path} is 0`;
  if (daemon === undefined) {
    return { check, result: "note", found, why: "the daemon turns it on when it starts" };
  }
  const why = "somebody turned it off: this host passes no container's packet on";
  return { check, result: "failed", found, why, ...mendable(settings) };
}

/** Routers do not listen to other routers, or they would: a host that has its routes from one. */
function routerSettings({ kernel, setting }: Facts): Setting[] {
  return ["all", "default", ...kernel.links.map(({ name }) => name)]
    .map((name) => `net/ipv6/conf/${name}/accept_ra`)
    .filter((path) => setting(path) === "1")
    .map((path) => ({ path, value: "2" }));
}

/** `Documentation/networking/ip-sysctl`: the greater of the two counts; 1 is strict. */
function returnPath({ setting, interface: chosen }: Facts): Finding | undefined {
  if (!chosen.found) return undefined;
  const [all, own] = ["all", chosen.link]
    .map((name) => Number(setting(`net/ipv4/conf/${name}/rp_filter`) ?? 0)) as [number, number];
  if (Math.max(all, own) !== 1) return ok("rp-filter", "not strict");
  const path = `net/ipv4/conf/${chosen.link}/rp_filter`;
  return {
    ...{ check: "rp-filter", result: "note", found: `strict on ${chosen.link}` },
    why: "packets are dropped that come in by another link than the way back: fine with one link " +
      "towards the peers, and a trap with two",
    fix: sysctlFix([{ path, value: "2" }]),
  };
}

function bridgeFilter({ setting }: Facts): Finding {
  const value = setting("net/bridge/bridge-nf-call-iptables");
  if (value === undefined) {
    return {
      ...{ check: "br-netfilter", result: "note", found: "not loaded" },
      why: "Denim does not need it; kube-proxy does, for services between pods of one host",
      fix: "where Kubernetes runs: modprobe br_netfilter",
    };
  }
  if (value !== "0") return ok("br-netfilter", "packets on a bridge pass iptables");
  return {
    ...{ check: "br-netfilter", result: "note", found: "packets on a bridge do not pass iptables" },
    why: "Denim does not need it; kube-proxy does, for services between pods of one host",
    fix: "where Kubernetes runs: sysctl -w net.bridge.bridge-nf-call-iptables=1",
  };
}

function forwardPolicy({ forwardPolicy }: Facts, family: Family): Finding | undefined {
  const check = family === 4 ? "forward-policy" : "forward-policy-6";
  const policy = forwardPolicy[family];
  if (policy === undefined) return undefined;
  if (policy === "ACCEPT") return ok(check, "iptables passes on what no rule forbids");
  return {
    ...{ check, result: "note", found: `iptables' FORWARD policy is ${policy}` },
    why: "Docker sets it; Denim lets the network's packets through by rules of its own",
    fix: "with --no-forward-rules, allow them yourself: iptables -A FORWARD -s NETWORK -j ACCEPT",
  };
}

function shielded({ shielded, networks }: Facts): Finding | undefined {
  const met = shielded.filter((address) => networks.some((network) => contains(network, address)));
  if (met.length === 0) return undefined;
  const some = met.slice(0, 3).map(formatPrefix).join(", ");
  return {
    ...{ check: "docker-raw", result: "failed", found: `rules in raw drop packets to ${some}` },
    why: "Docker 28 and later keep other hosts away from containers' own addresses",
    fix: '"allow-direct-routing": true in /etc/docker/daemon.json, then restart Docker',
  };
}

/** Outer packets of a tunnel are datagrams; who sent them is not known any more. */
function checksums({ kernel, spoiledDatagrams }: Facts): Finding | undefined {
  const tunnel = kernel.links.find((link) => networkOf(link) !== undefined && link.detail?.tunnel);
  if (tunnel === undefined) return undefined;
  const check = "tunnel-checksums";
  if (spoiledDatagrams === 0) return ok(check, "every UDP packet has come with a right checksum");
  return {
    ...{ check, result: "note", found: `${spoiledDatagrams} UDP packets came with a wrong one` },
    why: "if it grows while connections through the tunnel hang, a peer's network card or kernel " +
      "spoils checksums that the tunnel's link leaves to it",
    fix: `on the peers: ethtool -K ${tunnel.name} tx-checksum-ip-generic off`,
  };
}

/** A node that is reached directly takes an entry; the table is the whole machine's. */
function neighbours({ setting, daemon }: Facts, family: Family): Finding | undefined {
  const name = family === 4 ? "ipv4" : "ipv6";
  const check = family === 4 ? "neighbours" : "neighbours-6";
  const most = Number(setting(`net/${name}/neigh/default/gc_thresh3`) ?? Number.NaN);
  if (Number.isNaN(most)) return undefined;
  const nodes = daemon?.nodes.length ?? 0;
  const found = `room for ${most} neighbours, ${nodes} nodes`;
  if (nodes * 2 <= most) return ok(check, found);
  const wanted = 2 ** Math.ceil(Math.log2(nodes * 4));
  const settings: Setting[] = [
    { path: `net/${name}/neigh/default/gc_thresh3`, value: String(wanted) },
    { path: `net/${name}/neigh/default/gc_thresh2`, value: String(wanted / 2) },
    { path: `net/${name}/neigh/default/gc_thresh1`, value: String(wanted / 4) },
  ];
  return {
    ...{ check, result: nodes <= most ? "warning" : "failed", found },
    why: "where the table is full, packets to the next node are dropped",
    ...mendable(settings),
  };
}

/** Until Linux 6.3 the routing table of IPv6 had an end (`net/ipv6/route/max_size`, 4096). */
function routesIpv6({ setting, daemon }: Facts): Finding | undefined {
  const path = "net/ipv6/route/max_size";
  const most = Number(setting(path) ?? Number.NaN);
  const nodes = daemon?.nodes.length ?? 0;
  if (Number.isNaN(most)) return undefined;
  const found = `room for ${most} routes, ${nodes} nodes`;
  if (nodes * 2 <= most) return ok("routes-6", found);
  const settings: Setting[] = [{ path, value: String(2 ** Math.ceil(Math.log2(nodes * 4))) }];
  return {
    ...{ check: "routes-6", result: "warning", found },
    why: "where the table is full, the kernel refuses the next route",
    ...mendable(settings),
  };
}
