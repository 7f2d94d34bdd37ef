import { readFile, rm } from "node:fs/promises";
import { DenimError } from "../../base/errors.ts";
import { CONFLIST_MARK } from "../../host/cni/conflist.ts";
import {
  contains,
  formatPrefix,
  parsePrefix,
  type Prefix,
  tryParsePrefix,
} from "../../ip/prefix.ts";
import { diff } from "../../plan/diff.ts";
import {
  type Change,
  type Kernel,
  type KernelLink,
  type KernelRoute,
  ROUTE_PROTOCOL,
} from "../../plan/kernel.ts";
import { asLink, isHalfMade, networkOf } from "../../plan/mark.ts";
import { type OwnRules, type PacketFilter, rulesOf } from "../../plan/packet-filter.ts";
import { formatChange } from "../../plan/text.ts";

/** What a host has that carries Denim's mark, found without a daemon or a plan. */
export interface Marks {
  readonly removals: readonly Change[];
  readonly rules: readonly OwnRules[];
  /** What carries the mark for other networks: of another daemon, or of a lost state directory. */
  readonly elsewhere: readonly string[];
  /** What container runtimes read here, where it speaks of one of the networks. */
  readonly files: readonly string[];
}

export interface Search {
  readonly kernel: Pick<Kernel, "read">;
  readonly filter: Pick<PacketFilter, "list">;
  /** Networks whose marks are meant; `any` takes what carries our mark anywhere. */
  readonly networks: readonly Prefix[] | "any";
  readonly subnetFile: string;
  /** The network for CNI runtimes; somebody else's of that name is left alone. */
  readonly conflist: string;
}

const EVERYWHERE = ["0.0.0.0/0", "::/0"].map(parsePrefix);

export async function findMarks(
  { kernel, filter, networks, subnetFile, conflist }: Search,
): Promise<Marks> {
  const state = await kernel.read();
  const blocks = networks === "any" ? EVERYWHERE : networks;
  const isMeant = (block: Prefix) => blocks.some((network) => contains(network, block));
  const begun = state.links.filter(isHalfMade);
  const all = await filter.list();
  const rules = networks === "any" ? all : rulesOf(networks, all);
  const [text, list] = await Promise.all(
    [subnetFile, conflist].map((path) => readFile(path, "utf8").catch(() => "")),
  ) as [string, string];
  return {
    removals: [
      ...diff([], state, { networks: blocks, mode: "full" }).changes,
      // Nobody knows whose it is.
      ...(networks === "any" ? begun.map(removalOf) : []),
    ],
    rules,
    elsewhere: [
      ...state.routes.filter(({ protocol, destination }) =>
        protocol === ROUTE_PROTOCOL && !isMeant(destination)
      ).map(wordsOf),
      ...state.links.flatMap((link) => {
        const network = networkOf(link);
        return network === undefined || isMeant(network)
          ? []
          : [`link ${link.name} of ${formatPrefix(network)}`];
      }),
      ...(networks === "any" ? [] : begun.map(({ name }) => `link ${name} of no network yet`)),
      ...all.filter((one) => !rules.includes(one)).map(wordsOfRules),
    ],
    files: [
      ...(networksIn(text).some(isMeant) ? [subnetFile] : []),
      ...(subnetsIn(list).some(isMeant) ? [conflist] : []),
    ],
  };
}

/** One line for each thing, as somebody would type it. */
export function describeMarks({ removals, rules, files }: Marks): string[] {
  return [
    ...removals.flatMap(formatChange),
    ...rules.map(wordsOfRules),
    ...files.map((path) => `rm ${path}`),
  ];
}

/** @throws `KERNEL_REJECTED` after everything was tried */
export async function removeMarks(
  { kernel, filter }: {
    readonly kernel: Pick<Kernel, "apply">;
    readonly filter: Pick<PacketFilter, "remove">;
  },
  { removals, rules, files }: Marks,
): Promise<void> {
  const outcomes = await kernel.apply(removals);
  const kept = await filter.remove(rules);
  for (const path of files) await rm(path, { force: true });
  const failed = outcomes.filter(({ error }) => error !== undefined)
    .map(({ change, error }) => `${formatChange(change).join("; ")}: ${error}`);
  const why = [...failed, ...kept];
  if (why.length === 0) return;
  throw new DenimError("KERNEL_REJECTED", `${why.length} things are still there`, {
    why: why.slice(0, 3).join("; "),
    fix: "denim cleanup again; what the kernel refuses to remove has changed meanwhile",
  });
}

function removalOf(link: KernelLink): Change {
  return { kind: "remove", item: asLink(link, EVERYWHERE[0]!) };
}

function wordsOfRules({ tool, table, name }: OwnRules): string {
  return `${tool}: ${table ?? "table"} ${name}`;
}

function wordsOf(route: KernelRoute): string {
  return `${formatPrefix(route.destination)} dev ${route.device || "none"}`;
}

/** Several stand in one line, divided by commas. */
function networksIn(subnetEnv: string): Prefix[] {
  return [...subnetEnv.matchAll(/^FLANNEL_(?:IPV6_)?NETWORK=(.*)$/gm)]
    .flatMap(([, value]) => value!.split(",")).map(tryParsePrefix)
    .filter((network) => network !== undefined);
}

/** Of a list that Denim has written. */
function subnetsIn(conflist: string): Prefix[] {
  if (!conflist.includes(CONFLIST_MARK)) return [];
  return [...conflist.matchAll(/"subnet": "([^"]+)"/g)].map(([, value]) => tryParsePrefix(value!))
    .filter((subnet) => subnet !== undefined);
}
