import type { Random } from "../../base/random.ts";
import { type Address, type Family, formatAddress, widthOf } from "../../ip/address.ts";
import { parsePrefix, type Prefix, prefixOf } from "../../ip/prefix.ts";
import type { Host, Json } from "../backend.ts";

/** A node of a made-up cluster: what its backend is shown of it, before it has published anything. */
export interface StagedNode {
  readonly node: string;
  readonly host: Host;
  readonly subnets: readonly Prefix[];
}

/** A made-up cluster on made-up links; the first node is the one that plans. */
export interface Stage {
  readonly network: Prefix;
  readonly nodes: readonly StagedNode[];
}

const PEERS_MAX = 12;
const FAMILIES: readonly (readonly Family[])[] = [[4], [6], [4, 6]];
const NETWORKS: Readonly<Record<Family, Prefix>> = {
  4: parsePrefix("10.244.0.0/16"),
  6: parsePrefix("fd10:244::/48"),
};
const SUBNET_LENGTH: Readonly<Record<Family, number>> = { 4: 24, 6: 64 };
/** The link that all share, and the ones beyond a router. */
const LINKS: Readonly<Record<Family, readonly Prefix[]>> = {
  4: [parsePrefix("192.0.2.0/24"), parsePrefix("198.51.100.0/24")],
  6: [parsePrefix("2001:db8:1::/64"), parsePrefix("2001:db8:2::/64")],
};
/** One peer in so many is beyond a router, or lacks a family. */
const ODD_ONE_IN = 4;

/** A cluster of the planning node and up to 12 others, on one link, or some beyond a router. */
export function stageOf(random: Random): Stage {
  const families = FAMILIES[random.below(FAMILIES.length)]!;
  const count = 1 + random.below(PEERS_MAX + 1);
  const at = shuffled(count, random);
  const mtu = [1280, 1400, 1500, 9000][random.below(4)]!;
  const nodes = at.map((place, i) => nodeAt(place, { families, mtu, isFirst: i === 0, random }));
  return { network: NETWORKS[families[0]!], nodes };
}

function nodeAt(
  place: number,
  { families, mtu, isFirst, random }: {
    readonly families: readonly Family[];
    readonly mtu: number;
    readonly isFirst: boolean;
    readonly random: Random;
  },
): StagedNode {
  const isFar = !isFirst && random.below(ODD_ONE_IN) === 0;
  const isOneLegged = !isFirst && families.length > 1 && random.below(ODD_ONE_IN) === 0;
  const legs = isOneLegged ? [families[random.below(2)]!] : families;
  const linkOf = (family: Family) => LINKS[family][isFar ? 1 : 0]!;
  const addresses = legs.map((family) => {
    const address = hostIn(linkOf(family), place + 1);
    return { family, address, publicIp: address };
  });
  const link = { name: "eth0", index: 2 + random.below(8), mtu };
  return {
    node: `node-${place}`,
    host: { link, addresses, onLink: legs.map(linkOf), secret: random.bytes(32) },
    subnets: families.map((family) => subnetAt(family, place + 1)),
  };
}

function hostIn(block: Prefix, n: number): Address {
  return { family: block.family, value: block.base + BigInt(n) };
}

/** The nth subnet of a family's network. */
export function subnetAt(family: Family, n: number): Prefix {
  const { base } = NETWORKS[family];
  const step = BigInt(widthOf(family) - SUBNET_LENGTH[family]);
  const value = base + (BigInt(n) << step);
  return prefixOf({ family, value }, SUBNET_LENGTH[family]);
}

/** 0 to `count` - 1 in some order. */
export function shuffled(count: number, random: Random): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const other = random.below(i + 1);
    [order[i], order[other]] = [order[other]!, order[i]!];
  }
  return order;
}

/** JSON that most likely nobody expects, and at times nearly what somebody does. */
export function strangeJson(random: Random, like: Json, depth = 0): Json {
  switch (random.below(depth < 2 ? 8 : 6)) {
    case 0:
      return null;
    case 1:
      return random.below(2) === 0;
    case 2:
      return [0, -1, 1.5, 65_536, 2 ** 53][random.below(5)]!;
    case 3:
      return ["", "yes", "10.0.0.256", "02:00:00:00:00:0G", "\u0000"][random.below(5)]!;
    case 4:
      return formatAddress(hostIn(LINKS[4][0]!, random.below(200)));
    case 5:
      return [];
    case 6:
      return Array.from({ length: random.below(3) }, () => strangeJson(random, null, depth + 1));
    default:
      return bent(random, like, depth);
  }
}

/** An object with one of its members changed, gone, or added. */
function bent(random: Random, like: Json, depth: number): Json {
  const isObject = typeof like === "object" && like !== null && !Array.isArray(like);
  const members = Object.entries(isObject ? like as { readonly [key: string]: Json } : {});
  if (members.length === 0) return { Type: strangeJson(random, null, depth + 1) };
  const at = random.below(members.length);
  const rest = members.filter((_, i) => i !== at);
  if (random.below(3) === 0) return Object.fromEntries(rest);
  const [name, value] = members[at]!;
  return Object.fromEntries([...rest, [name, strangeJson(random, value, depth + 1)]]);
}
