import type { Family } from "../ip/address.ts";
import { formatPrefix, type Prefix } from "../ip/prefix.ts";
import { MASQUERADE_MARK, masqueradeRules, type Match, nameOfNetwork } from "./rules.ts";
import type { NetworkRules, Rule } from "./rules.ts";

/** A table of nftables: `ip denim-10.244.0.0-16`. Its name is Denim's mark. */
export interface NftTable {
  readonly family: Family;
  readonly name: string;
}

const FAMILY: Readonly<Record<Family, string>> = { 4: "ip", 6: "ip6" };

/**
 * Ten behind `srcnat`, where the chains of iptables are: the first that has an opinion about a
 * connection decides, and an administrator's, Docker's or kube-proxy's comes first, as it does with
 * a rule that is appended.
 */
const PRIORITY = 110;

export function nftTableOf(network: Prefix): NftTable {
  return { family: network.family, name: `denim-${nameOfNetwork(network)}` };
}

/** `ip denim-10.244.0.0-16`, as nftables' commands take it. */
export function formatNftTable({ family, name }: NftTable): string {
  return `${FAMILY[family]} ${name}`;
}

/**
 * The masquerade rules as one table that takes the place of its former self in one transaction:
 * added, so that there is one to delete; deleted; made.
 */
export function nftablesText(wanted: NetworkRules): string {
  const table = formatNftTable(nftTableOf(wanted.network));
  const address = FAMILY[wanted.network.family];
  return [
    `add table ${table}`,
    `delete table ${table}`,
    `table ${table} {`,
    "  chain postrouting {",
    `    type nat hook postrouting priority ${PRIORITY}; policy accept;`,
    ...masqueradeRules(wanted).map((rule) => `    ${formatRule(rule, address)}`),
    "  }",
    "}",
    "",
  ].join("\n");
}

/** Whether what is listed may be what was wanted, in other words: it has as many rules. */
export function mayListAs(listed: string, wanted: string): boolean {
  return countRules(listed) === countRules(wanted);
}

function countRules(text: string): number {
  return text.match(/\b(?:return|masquerade)\b/g)?.length ?? 0;
}

/** Denim's tables in what `list tables` says. */
export function readNftTables(listed: string): NftTable[] {
  return [...listed.matchAll(/^table (ip6?) (denim-[0-9a-f._]+-[0-9]+)$/gm)]
    .map(([, family, name]) => ({ family: family === "ip" ? 4 : 6, name: name! }));
}

function formatRule({ source, destination, marked, verdict }: Rule, address: string): string {
  const words: string[] = [];
  if (marked) words.push(`meta mark & ${MASQUERADE_MARK} == ${MASQUERADE_MARK}`);
  if (source !== undefined) words.push(`${address} saddr ${formatMatch(source)}`);
  if (destination !== undefined) words.push(`${address} daddr ${formatMatch(destination)}`);
  words.push(verdict === "masquerade" ? "masquerade fully-random" : verdict);
  return words.join(" ");
}

function formatMatch({ prefix, not }: Match): string {
  return `${not ? "!= " : ""}${formatPrefix(prefix)}`;
}
