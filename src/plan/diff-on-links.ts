import { equalAddress } from "../ip/address.ts";
import { isMac, isUnicast, type Mac } from "../ip/mac.ts";
import { containsAddress } from "../ip/prefix.ts";
import type { LinksDifference } from "./diff-links.ts";
import type { DiffOptions, Part } from "./difference.ts";
import type { Change, KernelState } from "./kernel.ts";
import { SubjectMap } from "./subject.ts";
import type { ForwardingEntry, LinkAddress, Neighbour, OnLink } from "./wanted.ts";

/** Something that is on a link of ours. */
interface Found {
  /** As it could have been wanted, as far as that goes. */
  readonly item: OnLink;
  /** Somebody has made it, and for good: what the kernel and the traffic make is not ours. */
  readonly lasts: boolean;
  /** It may be what is wanted. */
  readonly plain: boolean;
}

/**
 * Addresses, neighbours and forwarding entries need no mark of their own: they are ours if their
 * link is. Nothing is wanted, or looked at, on anybody else's.
 */
export function diffOnLinks(
  wanted: readonly OnLink[],
  actual: KernelState,
  links: LinksDifference,
  options: DiffOptions,
): Part[] {
  if (wanted.length === 0 && links.kept.size === 0) return [];
  const found = new SubjectMap<Found[]>();
  const isWanted = ({ device, address }: LinkAddress) =>
    wanted.some((item) =>
      item.kind === "address" && item.device === device && equalAddress(item.address, address)
    );
  for (const one of foundOn(links, actual, isWanted)) {
    const same = found.get(one.item);
    if (same === undefined) found.set(one.item, [one]);
    else same.push(one);
  }
  const mayChange = changeable(wanted, options);
  const parts: Part[] = [];
  const seen = new SubjectMap<OnLink>();
  for (const item of wanted) {
    const why = seen.has(item) ? "another one is wanted already" : unfit(item, links);
    parts.push(
      why === undefined
        ? compare(item, found.get(item) ?? [], mayChange(item), options)
        : { item: { about: item, state: "conflict", wanted: item, why }, changes: [] },
    );
    seen.set(item, item);
  }
  for (const all of found.values()) {
    if (seen.has(all[0]!.item)) continue;
    for (const { item, lasts } of all) if (lasts) parts.push(extra(item, options));
  }
  return parts;
}

/** On links that stay: what was on another one goes with it. */
function* foundOn(
  { kept }: LinksDifference,
  actual: KernelState,
  isWanted: (item: LinkAddress) => boolean,
): Generator<Found> {
  const nameOf = new Map([...kept.values()].map(({ index, name }) => [index, name]));
  for (const { linkIndex, address, length, scope, flags } of actual.addresses) {
    const device = nameOf.get(linkIndex);
    if (device === undefined) continue;
    const item = { kind: "address" as const, device, address, length };
    // One of those the kernel gives a link by itself; what is wanted is not the kernel's.
    const isTheKernels = address.family === 6 && scope === "link" && !isWanted(item);
    yield { item, lasts: flags.permanent && !isTheKernels, plain: true };
  }
  for (const { kind, device, address, mac, permanent } of actual.neighbours) {
    if (!kept.has(device)) continue;
    const item = { kind, device, address, mac: mac ?? "" };
    yield { item, lasts: permanent, plain: mac !== undefined };
  }
  for (const { kind, device, mac, remote, permanent, plain } of actual.forwarding) {
    // Those for many, and for nobody in particular, come with the link.
    if (!kept.has(device) || !isUnicast(mac)) continue;
    const item = { kind, device, mac, remote: remote ?? NOWHERE };
    yield { item, lasts: permanent, plain: plain && remote !== undefined };
  }
}

const NOWHERE = { family: 4, value: 0n } as const;

function compare(
  item: OnLink,
  found: readonly Found[],
  mayChange: boolean,
  { mode }: DiffOptions,
): Part {
  const inPlace = found.find((one) => one.lasts && one.plain && isAsWanted(item, one.item));
  const first = inPlace ?? found[0];
  if (first === undefined) {
    return {
      item: { about: item, state: "missing", wanted: item },
      changes: [{ kind: "add", item }],
    };
  }
  const changes: Change[] = [];
  // What does not last is not what somebody has programmed: it may be replaced at any time.
  if (inPlace === undefined && (mayChange || !first.lasts)) {
    changes.push({ kind: "replace", item, old: first.item });
  }
  if (mode === "full") {
    const strays = found.filter((one) => one !== first && one.lasts);
    for (const stray of strays) changes.push({ kind: "remove", item: stray.item });
  }
  const state = inPlace ? "ok" : "different";
  return { item: { about: item, state, wanted: item, actual: first.item }, changes };
}

function extra(item: OnLink, { mode }: DiffOptions): Part {
  return {
    item: { about: item, state: "extra", actual: item },
    changes: mode === "full" ? [{ kind: "remove", item }] : [],
  };
}

/** Why it cannot be there. */
function unfit(item: OnLink, { kept, made }: LinksDifference): string | undefined {
  const { device } = item;
  if (!kept.has(device) && !made.has(device)) return `${device} is no link of this network`;
  if (item.kind === "address" || (isMac(item.mac) && isUnicast(item.mac))) return undefined;
  return `${item.mac} is no MAC address of a single station`;
}

/**
 * What may be changed where it stands: anything in mode `full`; else what leads to a subnet whose
 * lease was claimed. A forwarding entry leads where its MAC address is a neighbour's.
 */
function changeable(
  wanted: readonly OnLink[],
  { mode, claimed = [] }: DiffOptions,
): (item: OnLink) => boolean {
  if (mode === "full") return () => true;
  if (claimed.length === 0) return () => false;
  const isClaimed = ({ address }: Neighbour) =>
    claimed.some((subnet) => containsAddress(subnet, address));
  const macs = new Set<Mac>();
  for (const item of wanted) if (item.kind === "neighbour" && isClaimed(item)) macs.add(item.mac);
  return (item) =>
    (item.kind === "neighbour" && isClaimed(item)) ||
    (item.kind === "forwarding" && macs.has(item.mac));
}

/** Of two things of one subject. */
function isAsWanted(wanted: OnLink, found: OnLink): boolean {
  switch (wanted.kind) {
    case "address":
      return wanted.length === (found as LinkAddress).length;
    case "neighbour":
      return wanted.mac === (found as Neighbour).mac;
    case "forwarding":
      return equalAddress(wanted.remote, (found as ForwardingEntry).remote);
    default:
      return wanted satisfies never;
  }
}
