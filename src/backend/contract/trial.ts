import { asDenimError, DenimError, isDenimError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { Backend, Host, Json, Peer, Plan, Publication } from "../backend.ts";
import { type RawScene, readScene } from "../scene.ts";
import { type StagedNode, stageOf } from "./scenes.ts";

/** One go at one promise: a made-up cluster in which each node has published what it has to. */
export interface Trial {
  readonly backend: Backend;
  readonly random: Random;
  /** The `Backend` part of a network config. */
  readonly config: Json;
  readonly scene: RawScene;
  /** What the program has printed that is run before the host of the scene publishes. */
  readonly printed: string;
}

/** What that program prints on a host, by the host's number; the list begins anew after its end. */
export type Prints = readonly string[];

/** What a backend does not keep to, in a sentence. */
export class Broken extends Error {}

/**
 * Sets a scene. A host that the backend refuses by `CONFIG_INVALID` is not part of the cluster.
 *
 * @returns that refusal where the node that plans is the one that is refused
 * @throws Broken when `publish` fails in any other way
 */
export async function tryScene(
  backend: Backend,
  config: Json,
  random: Random,
  prints: Prints = [],
): Promise<Trial | DenimError> {
  const { network, nodes } = stageOf(random);
  const printed = nodes.map((_, i) => prints[i % prints.length] ?? "");
  const [own, ...entered] = await Promise.all(
    nodes.map((node, i) => enter(backend, config, node, printed[i]!)),
  );
  if (own instanceof DenimError) return own;
  const peers = entered.filter((peer): peer is Peer<Json> => !(peer instanceof DenimError));
  const { host } = nodes[0]!;
  const scene = { network, host, config, own: own!, peers };
  return { ...{ backend, random, config, scene }, printed: printed[0]! };
}

async function enter(
  backend: Backend,
  config: Json,
  { node, host, subnets }: StagedNode,
  printed: string,
): Promise<Peer<Json> | DenimError> {
  try {
    const { data } = await publicationOf(backend, config, host, printed);
    const publicIps = host.addresses.map(({ publicIp }) => publicIp);
    return { node, subnets, publicIps, data: throughJson(data) };
  } catch (error) {
    if (isDenimError(error, "CONFIG_INVALID")) return error;
    throw new Broken(`publish() failed: ${reasonOf(error)}`, { cause: error });
  }
}

/** What a backend publishes. Nothing is run for it; a program that has to be has printed that. */
export async function publicationOf(
  backend: Backend,
  config: Json,
  host: Host,
  printed: string,
): Promise<Publication<Json>> {
  const use = await backend.programs?.(backend.parseConfig(config));
  const given = use?.first === undefined ? host : { ...host, printed };
  return await backend.publish(given, backend.parseConfig(config));
}

/** What a backend plans for a scene, as a host has it planned. */
export async function planOf(backend: Backend, scene: RawScene): Promise<Plan> {
  try {
    return await backend.plan(readScene(backend, scene).scene);
  } catch (error) {
    throw new Broken(`plan() failed: ${reasonOf(error)}`, { cause: error });
  }
}

/** How data looks to a peer: it has been stored. */
export function throughJson(data: Json): Json {
  return JSON.parse(JSON.stringify(data) ?? "null") as Json;
}

/** Message and reason on one line. */
export function reasonOf(error: unknown): string {
  const { message, why } = asDenimError(error);
  return why === undefined ? message : `${message}: ${why}`;
}

/** A text that two values share only if they are the same data: members in any order. */
export function textOf(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part === "bigint") return `${part}n`;
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
    if (part instanceof Uint8Array) return [...part];
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => a < b ? -1 : 1));
  }) ?? String(value);
}

/** The same where the order of the items says nothing, sorted. */
export function textsOf(plan: Plan): string[] {
  return plan.map(textOf).sort();
}

/** Whoever tries to write to it fails. Bytes stay writable: those cannot be frozen. */
export function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null && !(value instanceof Uint8Array)) {
    Object.values(value).forEach(frozen);
    Object.freeze(value);
  }
  return value;
}
