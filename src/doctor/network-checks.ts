/** The network and this host's place in it. */
import { overlappingRoutes, publicRangeWarning } from "../host/overlap.ts";
import { type Address, equalAddress, formatAddress, parseAddress } from "../ip/address.ts";
import { formatPrefix, parsePrefix } from "../ip/prefix.ts";
import { formatWanted } from "../plan/text.ts";
import type { DaemonFact, Facts } from "./facts.ts";
import { type Finding, ok } from "./finding.ts";

/** VirtualBox gives it to the first link of every machine. */
const SAME_EVERYWHERE = parseAddress("10.0.2.15");
const NAMED_MAX = 3;

export function checkNetwork(facts: Facts): Finding[] {
  return [dataInterface(facts), ...publicIps(facts), ...overlap(facts), ...range(facts)];
}

function dataInterface({ interface: chosen }: Facts): Finding {
  if (!chosen.found) {
    const { message, why, fix } = chosen;
    return {
      ...{ check: "interface", result: "failed", found: message },
      ...(why === undefined ? {} : { why }),
      ...(fix === undefined ? {} : { fix }),
    };
  }
  const { link, addresses, mtu, why } = chosen;
  const own = addresses.map(({ address }) => formatAddress(address)).join(", ");
  return ok("interface", `${link} ${own}, MTU ${mtu}: ${why}`);
}

function publicIps({ interface: chosen, daemon }: Facts): Finding[] {
  if (!chosen.found) return [];
  return chosen.addresses.map(({ publicIp }) => aPublicIp(publicIp, daemon));
}

function aPublicIp(address: Address, daemon: DaemonFact | undefined): Finding {
  const text = formatAddress(address);
  const own = daemon?.status.node.id;
  const other = daemon?.leases.find(({ node, publicIp, publicIpv6 }) =>
    node !== own && [publicIp, publicIpv6].includes(text)
  );
  if (other !== undefined) {
    return {
      ...{ check: "public-ip", result: "failed", found: `${text} is ${other.nodeName}'s, too` },
      why: "peers would send this host's packets to the other one",
      fix: "choose another interface: --iface, or say the right address: --public-ip",
    };
  }
  if (equalAddress(address, SAME_EVERYWHERE)) {
    return {
      ...{
        check: "public-ip",
        result: "failed",
        found: `${text}, which VirtualBox gives everyone`,
      },
      why: "every host of the cluster would have this same address",
      fix: "choose the interface that the hosts reach each other by: --iface eth1",
    };
  }
  return ok("public-ip", `${text}${daemon === undefined ? "" : ", nobody else's"}`);
}

function overlap({ networks, kernel, daemon }: Facts): Finding[] {
  const own = (daemon?.status.lease.subnets ?? []).map(parsePrefix);
  return networks.map((network): Finding => {
    const text = formatPrefix(network);
    const met = overlappingRoutes(network, kernel.routes, { own });
    if (met.length === 0) return ok("overlap", `${text} meets no route of this host`);
    const named = met.slice(0, NAMED_MAX)
      .map(formatWanted);
    const more = met.length > NAMED_MAX ? ` and ${met.length - NAMED_MAX} more` : "";
    return {
      ...{ check: "overlap", result: "failed", found: `${text} meets ${named.join("; ")}${more}` },
      why: "one of the two takes packets away from the other",
      fix: "choose another network with denim init --network, or move that route",
    };
  });
}

function range({ networks }: Facts): Finding[] {
  return networks.map((network): Finding => {
    const warning = publicRangeWarning(network);
    if (warning === undefined) return ok("range", `${formatPrefix(network)} is private`);
    const found = `${formatPrefix(network)} is not private`;
    const fix =
      "choose one that is: denim init --network 10.244.0.0/16; one that is your own may stay";
    return { check: "range", result: "warning", found, why: warning, fix };
  });
}
