import type { Family } from "../ip/address.ts";
import type { Prefix } from "../ip/prefix.ts";
import { forwardChainName, natChainName, type Table } from "./iptables.ts";
import { nftTableOf } from "./nftables.ts";
import type { NetworkRules } from "./rules.ts";

/** How the rules of one kind stand, for one address family of a network and one tool. */
export interface RuleReport {
  readonly kind: "masquerade" | "forward";
  /** `10.244.0.0/16` */
  readonly network: string;
  /** `nftables`, or the name of a program: `iptables`, `ip6tables-legacy`. */
  readonly tool: string;
  /** Of accepted packets: the chain that sends them to ours. */
  readonly from?: string;
  /** It was not so before. */
  readonly changed: boolean;
  /** The tool's own words. */
  readonly error?: string;
}

/** Something in the packet filter that carries Denim's mark. */
export interface OwnRules {
  /** `nftables`, or the name of a program. */
  readonly tool: string;
  readonly family: Family;
  /** Of an iptables chain: where it is. */
  readonly table?: Table;
  /** Of a table of nftables, or a chain of iptables. */
  readonly name: string;
}

/**
 * This host's packet filter: who is masqueraded, and whose packets a FORWARD chain that drops lets
 * pass. Drivers: `kernel/linux-packet-filter.ts` over nftables and iptables,
 * `kernel/memory-packet-filter.ts` for tests and simulation. Both pass
 * `test/contract/packet-filter.ts`.
 */
export interface PacketFilter extends AsyncDisposable {
  /** What masquerades here; `undefined` where this host has nothing to do it with. */
  masqueradesBy(): Promise<string | undefined>;
  /**
   * Makes the masquerade rules of these networks stand, or go; what stands already is left alone.
   * Each failure is on its own. A report for all that stands or should, and for what went.
   */
  masquerade(wanted: readonly NetworkRules[]): Promise<readonly RuleReport[]>;
  /** The same for packets that would be dropped on their way through this host. */
  forward(wanted: readonly NetworkRules[]): Promise<readonly RuleReport[]>;
  /** All that carries Denim's mark, of whatever network and whatever daemon. */
  list(): Promise<readonly OwnRules[]>;
  /** @returns what could not be removed, in the tool's own words */
  remove(rules: readonly OwnRules[]): Promise<readonly string[]>;
  /** Calls back whenever rules changed, or may have, as far as the kernel tells. */
  watch(onChange: () => void): () => void;
  /** How often one has to look because it does not tell everything, milliseconds. */
  readonly periodMs: number;
}

/** Those of some networks: two daemons on one host have two networks. */
export function rulesOf(
  networks: readonly Prefix[],
  rules: readonly OwnRules[],
): readonly OwnRules[] {
  const names = new Set(networks.flatMap((network) => [
    nftTableOf(network).name,
    natChainName(network),
    forwardChainName(network),
  ]));
  return rules.filter(({ name }) => names.has(name));
}
