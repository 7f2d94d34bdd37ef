import { DenimError } from "../base/errors.ts";
import { widthOf } from "../ip/address.ts";
import { contains, equalPrefix, formatPrefix, type Prefix } from "../ip/prefix.ts";
import { type Hook, keyOfHook } from "../plan/hook.ts";
import { LINK_NAME } from "../plan/mark.ts";
import { formatSubject } from "../plan/subject.ts";
import type { Link, OnLink, Route, Vxlan, Wanted } from "../plan/wanted.ts";
import type { LeftOut, Plan, Scene } from "./backend.ts";
import { invocation } from "./program-check.ts";
import {
  address,
  known,
  linkName,
  mac,
  optional,
  prefix,
  type Shape,
  shape,
  shown,
  text,
  whole,
  yesOrNo,
} from "./shape.ts";

/** `linux/if_link.h` and `net/ip.h`: what a link can have at all. */
const MTU = { min: 68, max: 65_535 } as const;

const tunnel: Shape<Vxlan> = {
  kind: (value) => value === "vxlan" ? undefined : "no sort of tunnel (vxlan)",
  vni: whole(0, 2 ** 24 - 1),
  port: whole(1, 65_535),
  local: address,
  underlay: linkName,
  learning: yesOrNo,
  gbp: optional(yesOrNo),
};

const SHAPES: { readonly [K in Wanted["kind"]]: Shape<Extract<Wanted, { kind: K }>> } & {
  readonly hook: Shape<Hook>;
  readonly "left-out": Shape<LeftOut>;
} = {
  route: {
    kind: known,
    destination: prefix,
    via: optional(address),
    device: text,
    unreachable: optional(yesOrNo),
    onlink: optional(yesOrNo),
    metric: (value) => value === undefined ? undefined : "nothing that a plan may say",
  },
  link: {
    kind: known,
    name: (value) => typeof value === "string" && LINK_NAME.test(value) ? undefined : NOT_OURS,
    network: prefix,
    mac,
    mtu: whole(MTU.min, MTU.max),
    tunnel: (value) => shape(value, tunnel),
  },
  address: {
    kind: known,
    device: linkName,
    address,
    length: whole(0, 128),
  },
  neighbour: { kind: known, device: linkName, address, mac },
  forwarding: { kind: known, device: linkName, mac, remote: address },
  hook: {
    kind: known,
    destination: prefix,
    add: optional(invocation),
    remove: optional(invocation),
    own: optional(yesOrNo),
  },
  "left-out": {
    kind: known,
    destination: prefix,
    why: (value) => typeof value === "string" && value !== "" ? undefined : "no sentence",
  },
};

const OUTSIDE = "it lies outside of the network, and is no node's subnet";
const NOT_OURS = "no name of a link of Denim's: it begins with denim, and has 15 letters at most";

/**
 * Whether a backend's answer is a plan, and one for this scene: of the right shapes, with nothing
 * in it that is not Denim's to make, and everything once. The answer may have come from anywhere.
 *
 * @returns the same value
 * @throws `BACKEND_FAILED`: which item, and what is wrong with it
 */
export function checkPlan(
  plan: unknown,
  scene: Pick<Scene<unknown, unknown>, "network" | "own" | "peers">,
): Plan {
  if (!Array.isArray(plan)) throw refused(`it is ${shown(plan)}, and no array`);
  const links = new Set<string>();
  for (const [i, item] of plan.entries()) {
    const wrong = wrongShape(item);
    if (wrong !== undefined) throw refused(`plan[${i}] ${wrong}`);
    if ((item as Wanted).kind === "link") links.add((item as Link).name);
  }
  const seen = new Map<string, number>();
  const ground = new Ground(scene);
  for (const [i, item] of (plan as Plan).entries()) {
    const what = nameOf(item);
    const wrong = foreign(item, { links, ground, network: scene.network });
    if (wrong !== undefined) throw refused(`plan[${i}], ${what}: ${wrong}`);
    const first = seen.get(what);
    if (first !== undefined) throw refused(`plan[${i}], ${what}: plan[${first}] is that already`);
    seen.set(what, i);
  }
  return plan as Plan;
}

/** What there may be one of in a plan. A subnet has its route, or is left out. */
function nameOf(item: Plan[number]): string {
  if (item.kind === "hook") return `hook of ${keyOfHook(item)}`;
  return formatSubject(item.kind === "left-out" ? { ...item, kind: "route" } : item);
}

/** Where a plan may say something about routes: in the network, and at all nodes' subnets. */
class Ground {
  readonly #network: Prefix;
  readonly #subnets: readonly Prefix[];
  readonly #exactly: ReadonlySet<string>;

  constructor({ network, own, peers }: Pick<Scene<unknown, unknown>, "network" | "own" | "peers">) {
    this.#network = network;
    this.#subnets = [own, ...peers].flatMap(({ subnets }) => subnets)
      .filter((subnet) => !contains(network, subnet));
    this.#exactly = new Set(this.#subnets.map(formatPrefix));
  }

  has(destination: Prefix): boolean {
    return contains(this.#network, destination) || this.#exactly.has(formatPrefix(destination)) ||
      this.#subnets.some((subnet) => contains(subnet, destination));
  }
}

interface Surroundings {
  readonly links: ReadonlySet<string>;
  readonly ground: Ground;
  readonly network: Prefix;
}

/** Why a plan must not speak of it, though it has the right shape. */
function foreign(item: Plan[number], { links, ground, network }: Surroundings) {
  switch (item.kind) {
    case "route":
    case "left-out": {
      if (!ground.has(item.destination)) {
        return OUTSIDE;
      }
      return item.kind === "route" ? badRoute(item) : undefined;
    }
    case "hook":
      return badHook(item, ground);
    case "link":
      return equalPrefix(item.network, network)
        ? undefined
        : `its network is ${formatPrefix(item.network)}, and the scene's ${formatPrefix(network)}`;
    case "address":
    case "neighbour":
    case "forwarding":
      return badOnLink(item, links);
    default:
      return item satisfies never;
  }
}

function badRoute({ device, via, unreachable, onlink }: Route): string | undefined {
  if (!unreachable) return linkName(device) && `its device is ${linkName(device)}`;
  const isBare = device === "" && via === undefined && !onlink;
  return isBare ? undefined : "an unreachable one has no gateway and no link";
}

function badHook(hook: Hook, ground: Ground): string | undefined {
  if (!ground.has(hook.destination)) return OUTSIDE;
  return (hook.add ?? hook.remove) === undefined ? "it runs nothing" : undefined;
}

function badOnLink(item: OnLink, links: ReadonlySet<string>): string | undefined {
  if (!links.has(item.device)) return `the plan has no link ${item.device}`;
  if (item.kind !== "address") return undefined;
  return item.length <= widthOf(item.address.family) ? undefined : "its length is too large";
}

function wrongShape(item: unknown): string | undefined {
  const kind = (item as { kind?: unknown } | null | undefined)?.kind;
  if (typeof kind !== "string" || !Object.hasOwn(SHAPES, kind)) {
    const kinds = Object.keys(SHAPES).join(", ");
    return `is ${shown(item)}: its kind is none of ${kinds}`;
  }
  const wrong = shape(item, SHAPES[kind as keyof typeof SHAPES]);
  return wrong && `is a ${kind} ${wrong}`;
}

function refused(why: string): DenimError {
  return new DenimError("BACKEND_FAILED", "The plan cannot be used", {
    why,
    fix: "denim backend test DIR shows what a backend has to keep to",
  });
}
