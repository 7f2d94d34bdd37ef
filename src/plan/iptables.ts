import { formatPrefix, type Prefix } from "../ip/prefix.ts";
import {
  forwardRules,
  MASQUERADE_MARK,
  masqueradeRules,
  type Match,
  nameOfNetwork,
  type NetworkRules,
  type Rule,
} from "./rules.ts";

export type Table = "nat" | "filter";

/** An own chain of iptables. */
export interface Chain {
  readonly table: Table;
  /** `DENIM-NAT-10.244.0.0-16`: with {@link mark}, how Denim's are told from others'. */
  readonly name: string;
  /** `denim 10.244.0.0/16`: the comment of the chain's rules, and of the jump to it. */
  readonly mark: string;
  /** As `iptables-save` prints them. */
  readonly rules: readonly string[];
}

/** What a table of iptables has, as `iptables-save` prints it. */
export interface SavedTable {
  /** Of the built-in chains. */
  readonly policies: ReadonlyMap<string, string>;
  readonly chains: ReadonlySet<string>;
  /** `-A CHAIN …`, in order. */
  readonly rules: readonly string[];
}

/** A longer name the kernel does not take (`linux/netfilter/x_tables.h`, XT_EXTENSION_MAXNAMELEN). */
const NAME_LENGTH_MAX = 28;

const OWN_CHAIN = /^DENIM-(?:NAT|FWD)-/;

export function natChainName(network: Prefix): string {
  return chainName("DENIM-NAT-", network);
}

export function forwardChainName(network: Prefix): string {
  return chainName("DENIM-FWD-", network);
}

export function natChain(wanted: NetworkRules): Chain {
  return chainOf("nat", natChainName(wanted.network), masqueradeRules(wanted), wanted);
}

export function forwardChain(wanted: NetworkRules): Chain {
  return chainOf("filter", forwardChainName(wanted.network), forwardRules(wanted), wanted);
}

export function readSavedTable(text: string): SavedTable {
  const [policies, chains, rules] = [new Map<string, string>(), new Set<string>(), [] as string[]];
  for (const line of text.split("\n")) {
    const [, name, policy] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (name !== undefined) chains.add(name);
    if (name !== undefined && policy !== "-") policies.set(name, policy!);
    if (line.startsWith("-A ")) rules.push(line);
  }
  return { policies, chains, rules };
}

/**
 * The chain that the jump of accepted packets belongs into; `undefined` where nobody drops them.
 * FORWARD's policy may. As of version 28 (moby#48724) a chain of Docker's does too, bridge by
 * bridge and whatever the policy, so behind it is too late; DOCKER-USER comes first and is made for
 * others' rules.
 */
export function forwardJumpFrom(saved: SavedTable): string | undefined {
  const hasDocker = saved.chains.has("DOCKER-USER");
  const dockerDrops = rulesOf(saved, "DOCKER").some((rule) => targetOf(rule) === "DROP");
  if (saved.policies.get("FORWARD") === "DROP" || (hasDocker && dockerDrops)) {
    return hasDocker ? "DOCKER-USER" : "FORWARD";
  }
  return undefined;
}

/**
 * What is there of an own chain: the jumps to it and its rules; `undefined` where it cannot work,
 * since a jump comes behind a rule that leaves its chain.
 */
export function standingChain(saved: SavedTable, name: string): string | undefined {
  const jumps = jumpsTo(saved, name);
  const isDead = jumps.some((jump) => {
    const from = rulesOf(saved, chainOfRule(jump));
    return from.indexOf(jump) > returnOf(from);
  });
  return isDead ? undefined : [...jumps, ...rulesOf(saved, name)].join("\n");
}

/** What {@link standingChain} is to say. */
export function wantedChain(chain: Chain, from: string): string {
  return [jump(chain, from), ...chain.rules].join("\n");
}

/**
 * Whether what stands may be what was wanted, in other words: as many rules, and a jump from the
 * same chain. What somebody undid while it was made is told by that from what another version of
 * the tool prints differently.
 */
export function mayStandFor(standing: string, wanted: string): boolean {
  const [here, there] = [standing, wanted].map((text) => text.split("\n"));
  return here!.length === there!.length && chainOfRule(here![0]!) === chainOfRule(there![0]!);
}

/** For `iptables-restore --noflush`: the chain as it is wanted, and one jump to it. */
export function installScript(saved: SavedTable, chain: Chain, from: string): string {
  const others = rulesOf(saved, from).filter((rule) => targetOf(rule) !== chain.name);
  const end = returnOf(others);
  const line = jump(chain, from);
  return [
    `*${chain.table}`,
    // Naming a chain empties it.
    `:${chain.name} - [0:0]`,
    ...jumpsTo(saved, chain.name).map(deletion),
    ...chain.rules,
    // Behind all that somebody else has said, and before the end of it.
    end === Infinity ? line : line.replace(`-A ${from}`, `-I ${from} ${end + 1}`),
    "COMMIT",
    "",
  ].join("\n");
}

/** For `iptables-restore --noflush`: the chain, and the jumps to it, are gone. */
export function removalScript(saved: SavedTable, table: Table, name: string): string {
  return [
    `*${table}`,
    `:${name} - [0:0]`,
    ...jumpsTo(saved, name).map(deletion),
    `-X ${name}`,
    "COMMIT",
    "",
  ].join("\n");
}

/** Chains that carry Denim's mark, of whatever network. */
export function ownChains(saved: SavedTable): string[] {
  return [...saved.chains].filter((name) =>
    OWN_CHAIN.test(name) && rulesOf(saved, name).every((rule) => OWN_COMMENT.test(rule))
  );
}

const OWN_COMMENT = /--comment "denim [^"]*"/;

/** Jumps of our making: one of somebody else's is not ours to delete. */
function jumpsTo(saved: SavedTable, name: string): string[] {
  return saved.rules.filter((rule) => targetOf(rule) === name && OWN_COMMENT.test(rule));
}

function rulesOf({ rules }: SavedTable, chain: string): string[] {
  return rules.filter((rule) => chainOfRule(rule) === chain);
}

function chainOfRule(rule: string): string {
  return rule.split(" ", 2)[1]!;
}

/** Where it jumps to, or its verdict. */
function targetOf(rule: string): string | undefined {
  return / -[jg] (\S+)/.exec(rule)?.[1];
}

/** Where a chain ends for every packet: Docker puts such a rule last into DOCKER-USER. */
function returnOf(rules: readonly string[]): number {
  const at = rules.findIndex((rule) => /^-A \S+ -j RETURN$/.test(rule));
  return at === -1 ? Infinity : at;
}

function deletion(rule: string): string {
  return rule.replace(/^-A/, "-D");
}

function jump({ name, mark }: Chain, from: string): string {
  return `-A ${from} -m comment --comment "${mark}" -j ${name}`;
}

function chainOf(table: Table, name: string, rules: readonly Rule[], of: NetworkRules): Chain {
  const mark = `denim ${formatPrefix(of.network)}`;
  return { table, name, mark, rules: rules.map((rule) => formatRule(rule, name, mark)) };
}

function formatRule(rule: Rule, chain: string, mark: string): string {
  const { source, destination, marked, verdict } = rule;
  return [
    `-A ${chain}`,
    ...(source === undefined ? [] : [formatMatch("-s", source)]),
    ...(destination === undefined ? [] : [formatMatch("-d", destination)]),
    ...(marked ? [`-m mark --mark ${MASQUERADE_MARK}/${MASQUERADE_MARK}`] : []),
    `-m comment --comment "${mark}"`,
    `-j ${verdict.toUpperCase()}`,
    ...(verdict === "masquerade" ? ["--random-fully"] : []),
  ].join(" ");
}

function formatMatch(flag: "-s" | "-d", { prefix, not }: Match): string {
  return `${not ? "! " : ""}${flag} ${formatPrefix(prefix)}`;
}

/** Names that are too long, as some of IPv6 networks, end with a hash. */
function chainName(kind: string, network: Prefix): string {
  const name = `${kind}${nameOfNetwork(network)}`;
  return name.length <= NAME_LENGTH_MAX ? name : `${kind}${hash(formatPrefix(network))}`;
}

/** FNV-1a of 32 bits (draft-eastlake-fnv): for few names that nobody chooses against us. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (const char of text) value = Math.imul(value ^ char.charCodeAt(0), 0x01000193);
  return (value >>> 0).toString(16).padStart(8, "0");
}
