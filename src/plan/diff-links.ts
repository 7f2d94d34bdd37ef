import { equalAddress } from "../ip/address.ts";
import { isMac, isUnicast } from "../ip/mac.ts";
import { contains, equalPrefix } from "../ip/prefix.ts";
import type { DiffOptions, Part } from "./difference.ts";
import type { KernelLink } from "./kernel.ts";
import { aliasOf, asLink, isHalfMade, isOurLink, LINK_NAME, networkOf } from "./mark.ts";
import type { Link, Vxlan } from "./wanted.ts";

/** Links' part of a difference, and what it means for everything on them. */
export interface LinksDifference {
  readonly parts: readonly Part[];
  /** Links of ours that stay as they are: what is on them counts. By name. */
  readonly kept: ReadonlyMap<string, KernelLink>;
  /** Those that are made, or made anew: nothing is on them. */
  readonly made: ReadonlySet<string>;
  /** Those that go, with all that is on them. */
  readonly gone: ReadonlySet<string>;
}

/** Ours carry the whole mark for a network of ours (`mark.ts`). */
export function diffLinks(
  wanted: readonly Link[],
  actual: readonly KernelLink[],
  options: DiffOptions,
): LinksDifference {
  const parts: Part[] = [];
  const kept = new Map<string, KernelLink>();
  const made = new Set<string>();
  const gone = new Set<string>();
  const seen = new Set<string>();
  for (const item of wanted) {
    const found = actual.find(({ name }) => name === item.name);
    const part = seen.has(item.name)
      ? conflict(item, "another link of that name is wanted already")
      : compare(item, found, options);
    parts.push(part);
    const [change] = part.changes;
    const isFresh = change?.kind === "add" ||
      (change?.kind === "replace" && (isRemade(part) || isHalfMade(found!)));
    if (isFresh) {
      made.add(item.name);
    } else if (!seen.has(item.name) && found !== undefined && isOurLink(found, options.networks)) {
      kept.set(item.name, found);
    }
    seen.add(item.name);
  }
  for (const link of actual) {
    if (seen.has(link.name) || !isOurLink(link, options.networks)) continue;
    const part = extra(link, options);
    parts.push(part);
    if (part.changes.length > 0) gone.add(link.name);
    else kept.set(link.name, link);
  }
  return { parts, kept, made, gone };
}

/** Whether one takes the place of the other, rather than that it becomes the other. */
export function takesAnother(old: Link, item: Link): boolean {
  const [a, b] = [old.tunnel, item.tunnel];
  return a === undefined || b === undefined || !equalTunnel(a, b);
}

function isRemade({ changes: [change] }: Part): boolean {
  return change?.kind === "replace" && change.old.kind === "link" && change.item.kind === "link" &&
    takesAnother(change.old, change.item);
}

function compare(item: Link, found: KernelLink | undefined, options: DiffOptions): Part {
  const why = unfit(item, options);
  if (why !== undefined) return conflict(item, why);
  if (found === undefined) {
    return {
      item: { about: item, state: "missing", wanted: item },
      changes: [{ kind: "add", item }],
    };
  }
  const old = asLink(found, networkOf(found) ?? item.network);
  if (!isHalfMade(found) && !isOurLink(found, options.networks)) {
    const why = "another link has that name, and it does not carry this network's mark";
    return {
      item: { about: item, state: "conflict", wanted: item, actual: old, why },
      changes: [],
    };
  }
  const isOther = takesAnother(old, item) || old.mac !== item.mac || old.mtu !== item.mtu ||
    !equalPrefix(old.network, item.network);
  const isUnfinished = !found.up || found.detail?.alias !== aliasOf(item.network);
  if (!isOther && !isUnfinished) {
    return { item: { about: item, state: "ok", wanted: item, actual: old }, changes: [] };
  }
  // What is only down, or only without its mark, is what an addition had not come to.
  const mayChange = options.mode === "full" || !isOther;
  return {
    item: { about: item, state: "different", wanted: item, actual: old },
    changes: mayChange ? [{ kind: "replace", item, old }] : [],
  };
}

/** Why no kernel, or not this host's, should have such a link. */
function unfit({ name, network, mac, tunnel }: Link, options: DiffOptions): string | undefined {
  if (!LINK_NAME.test(name)) return "a link's name begins with denim, and has 15 letters at most";
  if (!isMac(mac) || !isUnicast(mac)) return `${mac} is no MAC address of a single station`;
  if (tunnel === undefined) return "nothing says what sort of link it is";
  const isKnown = options.networks.some((known) => contains(known, network));
  return isKnown ? undefined : "its network is none of this host";
}

function extra(link: KernelLink, { mode }: DiffOptions): Part {
  const item = asLink(link, networkOf(link)!);
  return {
    item: { about: item, state: "extra", actual: item },
    changes: mode === "full" ? [{ kind: "remove", item }] : [],
  };
}

function conflict(wanted: Link, why: string): Part {
  return { item: { about: wanted, state: "conflict", wanted, why }, changes: [] };
}

function equalTunnel(a: Vxlan, b: Vxlan): boolean {
  return a.vni === b.vni && a.port === b.port && equalAddress(a.local, b.local) &&
    a.underlay === b.underlay && a.learning === b.learning && (a.gbp === true) === (b.gbp === true);
}
