import type { Family } from "../ip/address.ts";
import { formatPrefix, parsePrefix, type Prefix } from "../ip/prefix.ts";

/** What one address family of a network wants of this host's packet filter. */
export interface NetworkRules {
  readonly network: Prefix;
  /** This host's own, of the same family. */
  readonly subnets: readonly Prefix[];
  /** Where containers are seen under their own addresses, though it is outside of the network. */
  readonly exempt: readonly Prefix[];
  /** Elsewhere they are seen under this host's address. */
  readonly masquerade: boolean;
  /** Their packets pass a FORWARD chain whose policy is DROP. */
  readonly forward: boolean;
}

/** One rule, before it is put into the words of nftables or of iptables. */
export interface Rule {
  readonly source?: Match;
  readonly destination?: Match;
  /** kube-proxy has marked the packet, and masquerades it in a chain of its own. */
  readonly marked?: true;
  readonly verdict: "return" | "masquerade" | "accept";
}

export interface Match {
  readonly prefix: Prefix;
  /** Everything but the prefix. */
  readonly not?: true;
}

/** kube-proxy's mark for what it masquerades, value and mask (`--iptables-masquerade-bit` 14). */
export const MASQUERADE_MARK = "0x4000";

/** What is sent to many goes out as it is: nobody answers to the sender's address. */
const MULTICAST: Readonly<Record<Family, Prefix>> = {
  4: parsePrefix("224.0.0.0/4"),
  6: parsePrefix("ff00::/8"),
};

/**
 * flannel's rules of its iptables mode (`pkg/trafficmngr/iptables`), and `MasqExempt`. The third
 * kind keeps what comes in from outside under its sender's address; it says "outside" of the
 * *network*, as flannel's nftables mode does not, which for that never masquerades what a host
 * itself sends to another host's containers.
 */
export function masqueradeRules(wanted: NetworkRules): readonly Rule[] {
  const { subnets, exempt } = wanted;
  const network = { prefix: wanted.network };
  const outside = { ...network, not: true } as const;
  const own = subnets.map((prefix) => ({ prefix }));
  const multicast = { prefix: MULTICAST[wanted.network.family], not: true } as const;
  return [
    { marked: true, verdict: "return" },
    ...own.map((subnet): Rule => ({ source: subnet, destination: network, verdict: "return" })),
    ...own.map((subnet): Rule => ({ source: network, destination: subnet, verdict: "return" })),
    ...own.map((subnet): Rule => ({ source: outside, destination: subnet, verdict: "return" })),
    ...exempt.map((prefix): Rule => (
      { source: network, destination: { prefix }, verdict: "return" }
    )),
    { source: network, destination: multicast, verdict: "masquerade" },
    // An answer has to come back by way of this host, whatever address the question had.
    { source: outside, destination: network, verdict: "masquerade" },
  ];
}

/** Both directions: an answer is a packet like any other. */
export function forwardRules({ network }: NetworkRules): readonly Rule[] {
  return [
    { source: { prefix: network }, verdict: "accept" },
    { destination: { prefix: network }, verdict: "accept" },
  ];
}

/**
 * A network as part of a name: `10.244.0.0-16`, `fd00_244__-48`. No slash, as in flannel's keys, and
 * no colon, which nftables' names cannot have.
 */
export function nameOfNetwork(network: Prefix): string {
  return formatPrefix(network).replace("/", "-").replaceAll(":", "_");
}
