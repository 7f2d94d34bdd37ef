import { readFile, rm } from "node:fs/promises";
import { DenimError } from "../../base/errors.ts";
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
  /** The subnet file, where it speaks of one of the networks. */
  readonly subnetFile: string | undefined;
}

export interface Search {
  readonly kernel: Pick<Kernel, "read">;
  readonly filter: Pick<PacketFilter, "list">;
  /** Networks whose marks are meant; `any` takes what carries our mark anywhere. */
  readonly networks: readonly Prefix[] | "any";
  readonly subnetFile: string;
}

const EVERYWHERE = ["0.0.0.0/0", "::/0"].map(parsePrefix);

export async function findMarks({ kernel, filter, networks, subnetFile }: Search): Promise<Marks> {
  const state = await kernel.read();
  const blocks = networks === "any" ? EVERYWHERE : networks;
  const isMeant = (block: Prefix) => blocks.some((network) => contains(network, block));
  const begun = state.links.filter(isHalfMade);
  const all = await filter.list();
  const rules = networks === "any" ? all : rulesOf(networks, all);
  const text = await readFile(subnetFile, "utf8").catch(() => "");
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
    subnetFile: networksIn(text).some(isMeant) ? subnetFile : undefined,
  };
}

/** One line for each thing, as somebody would type it. */
export function describeMarks({ removals, rules, subnetFile }: Marks): string[] {
  return [
    ...removals.flatMap(formatChange),
    ...rules.map(wordsOfRules),
    ...(subnetFile === undefined ? [] : [`rm ${subnetFile}`]),
  ];
}

/** @throws `KERNEL_REJECTED` after everything was tried */
export async function removeMarks(
  { kernel, filter }: {
    readonly kernel: Pick<Kernel, "apply">;
    readonly filter: Pick<PacketFilter, "remove">;
  },
  { removals, rules, subnetFile }: Marks,
): Promise<void> {
  const outcomes = await kernel.apply(removals);
  const kept = await filter.remove(rules);
  if (subnetFile !== undefined) await rm(subnetFile, { force: true });
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
