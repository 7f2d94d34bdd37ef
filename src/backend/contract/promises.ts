import { isDenimError } from "../../base/errors.ts";
import { contains, formatPrefix, overlaps } from "../../ip/prefix.ts";
import { diff } from "../../plan/diff.ts";
import { keyOfHook } from "../../plan/hook.ts";
import { formatSubject } from "../../plan/subject.ts";
import { formatChange } from "../../plan/text.ts";
import type { Plan, ProgramUse } from "../backend.ts";
import { checkPlan } from "../plan-check.ts";
import { checkProgramUse } from "../program-check.ts";
import { BackendRegistry } from "../registry.ts";
import { readScene, splitPlan } from "../scene.ts";
import { kernelAfter } from "./kernel-after.ts";
import { shuffled, strangeJson } from "./scenes.ts";
import {
  Broken,
  frozen,
  planOf,
  publicationOf,
  reasonOf,
  textOf,
  textsOf,
  throughJson,
  type Trial,
} from "./trial.ts";

/** One thing that every backend keeps to, whatever the scene. */
export interface Promised {
  /** A sentence. */
  readonly name: string;
  /** @throws Broken */
  readonly check: (trial: Trial) => Promise<void>;
}

/** The contract, sentence by sentence, in the order in which a backend is used. */
export const PROMISES: readonly Promised[] = [
  { name: "its name and its contract are such as Denim takes", check: isTaken },
  { name: "a bad config is refused by CONFIG_INVALID, or taken", check: refusesBadConfig },
  { name: "what it publishes is plain JSON, with an MTU that the link has", check: publishesJson },
  { name: "the same host with the same config publishes the same", check: publishesTheSame },
  { name: "what a node publishes can be read by its peers", check: readsItsOwn },
  { name: "bad data of a peer is refused by CONFIG_INVALID, or planned with", check: bearsBadData },
  { name: "a plan has the right shapes, and nothing foreign in it", check: isPlan },
  { name: "nothing is planned twice", check: hasNoDuplicates },
  { name: "a plan is plain data, which can be cloned", check: isCloneable },
  { name: "what it is given stays as it was", check: changesNothingGiven },
  { name: "the same scene gives the same plan", check: plansTheSame },
  { name: "the order of the peers does not matter", check: ignoresOrder },
  { name: "a peer that goes takes along what is its own, and nothing else", check: removesExactly },
  { name: "a host without peers has a plan, too", check: plansAlone },
  { name: "it has nothing run but the programs that it names", check: namesPrograms },
  { name: "where the plan stands already, nothing is changed", check: settles },
];

async function isTaken({ backend }: Trial) {
  try {
    new BackendRegistry([backend]);
  } catch (error) {
    throw new Broken(reasonOf(error));
  }
}

async function refusesBadConfig({ backend, config, random }: Trial) {
  const strange = strangeJson(random, config);
  orRefused(() => backend.parseConfig(strange), `parseConfig(${JSON.stringify(strange)})`);
}

async function publishesJson({ backend, config, scene: { host }, printed }: Trial) {
  const { data, mtu } = await publicationOf(backend, config, host, printed);
  if (textOf(data) !== textOf(throughJson(data))) {
    throw new Broken(`${textOf(data)} is another value once it has been JSON`);
  }
  if (Number.isInteger(mtu) && mtu > 0 && mtu <= host.link.mtu) return;
  throw new Broken(`MTU ${mtu} on a link that has ${host.link.mtu}`);
}

async function publishesTheSame({ backend, config, scene: { host }, printed }: Trial) {
  const publish = async () => await publicationOf(backend, config, host, printed);
  const [first, second] = [textOf(await publish()), textOf(await publish())];
  if (first !== second) throw new Broken(`first ${first}, then ${second}`);
}

async function readsItsOwn({ backend, scene }: Trial) {
  for (const { node, data } of [scene.own, ...scene.peers]) {
    try {
      backend.parseData(data);
    } catch (error) {
      throw new Broken(`${node} published ${textOf(data)}: ${reasonOf(error)}`);
    }
  }
}

/** What has been let through must not cost the plan, and with it all other peers. */
async function bearsBadData({ backend, scene, random }: Trial) {
  const peers = scene.peers.map((peer) => {
    const data = strangeJson(random, peer.data);
    const isRead = orRefused(() => backend.parseData(data), `parseData(${JSON.stringify(data)})`);
    return isRead ? { ...peer, data } : peer;
  });
  checked(await planOf(backend, { ...scene, peers }), { ...scene, peers });
}

async function isPlan({ backend, scene }: Trial) {
  const plan = await planOf(backend, scene);
  // Twins have a sentence of their own.
  const known = new Set<string>();
  const isNew = (item: unknown) => {
    const text = textOf(item);
    return !known.has(text) && known.add(text) !== undefined;
  };
  checked(Array.isArray(plan) ? plan.filter(isNew) : plan, scene);
}

async function hasNoDuplicates({ backend, scene }: Trial) {
  const seen = new Set<string>();
  for (const item of await planOf(backend, scene)) {
    const what = subjectOf(item);
    if (seen.has(what)) throw new Broken(`${what} is there twice`);
    seen.add(what);
  }
}

async function isCloneable({ backend, scene }: Trial) {
  const plan = await planOf(backend, scene);
  try {
    if (textOf(structuredClone(plan)) === textOf(plan)) return;
  } catch (error) {
    throw new Broken(reasonOf(error));
  }
  throw new Broken("its clone is not the same");
}

async function changesNothingGiven({ backend, config, scene, printed }: Trial) {
  const given = frozen(readScene(backend, structuredClone(scene)).scene);
  const before = textOf(given);
  try {
    await backend.plan(given);
    await publicationOf(backend, frozen(structuredClone(config)), given.host, printed);
  } catch (error) {
    throw new Broken(`it fails once nothing can be changed: ${reasonOf(error)}`, { cause: error });
  }
  if (textOf(given) !== before) throw new Broken("the scene is another one afterwards");
}

async function plansTheSame({ backend, scene }: Trial) {
  const [first, second] = [await planOf(backend, scene), await planOf(backend, scene)];
  if (textOf(textsOf(first)) !== textOf(textsOf(second))) {
    throw new Broken(unlike(first, second, "the second plan"));
  }
}

async function ignoresOrder({ backend, scene, random }: Trial) {
  const peers = shuffled(scene.peers.length, random).map((i) => scene.peers[i]!);
  const first = await planOf(backend, scene);
  const second = await planOf(backend, { ...scene, peers });
  if (textOf(textsOf(first)) !== textOf(textsOf(second))) {
    throw new Broken(unlike(first, second, "the plan for another order"));
  }
}

async function removesExactly({ backend, scene, random }: Trial) {
  if (scene.peers.length === 0) return;
  const gone = scene.peers[random.below(scene.peers.length)]!;
  const peers = scene.peers.filter((peer) => peer !== gone);
  const before = await planOf(backend, scene);
  const after = await planOf(backend, { ...scene, peers });
  const isOf = (subnets: typeof gone.subnets, item: Plan[number]) =>
    "destination" in item && subnets.some((subnet) => contains(subnet, item.destination));
  const stays = new Set(textsOf(after));
  const stood = new Set(textsOf(before));
  const added = after.find((item) => !stood.has(textOf(item)));
  if (added !== undefined) {
    throw new Broken(`${subjectOf(added)} is new, or different, once ${gone.node} has gone`);
  }
  const lost = before.find((item) =>
    !stays.has(textOf(item)) && "destination" in item && !isOf(gone.subnets, item)
  );
  if (lost !== undefined) throw new Broken(`${subjectOf(lost)} goes along with ${gone.node}`);
  const left = after.find((item) =>
    "destination" in item && gone.subnets.some((subnet) => overlaps(subnet, item.destination)) &&
    isOf(gone.subnets, item)
  );
  if (left !== undefined) throw new Broken(`${subjectOf(left)} is left behind by ${gone.node}`);
}

async function plansAlone({ backend, scene }: Trial) {
  checked(await planOf(backend, { ...scene, peers: [] }), { ...scene, peers: [] });
}

/** A host is asked beforehand whether it allows them: another one would fail when a peer comes. */
async function namesPrograms({ backend, config, scene }: Trial) {
  const use = await backend.programs?.(backend.parseConfig(config)) ?? { argvs: [] };
  const named = new Set(programsIn(use).argvs.map(([program]) => program));
  const { hooks } = splitPlan(await planOf(backend, scene));
  const run = [use.first, ...hooks.flatMap(({ add, remove }) => [add, remove])];
  for (const invocation of run) {
    if (invocation === undefined || named.has(invocation.argv[0])) continue;
    throw new Broken(`${invocation.name} runs ${invocation.argv[0]}, which programs() lacks`);
  }
}

async function settles({ backend, scene }: Trial) {
  const { wanted } = splitPlan(await planOf(backend, scene));
  const networks = [scene.network, ...[scene.own, ...scene.peers].flatMap((peer) => peer.subnets)];
  const { changes } = diff(wanted, kernelAfter(wanted), { networks, mode: "full" });
  const [first] = changes.flatMap(formatChange);
  if (first !== undefined) throw new Broken(`it would do this again and again: ${first}`);
}

function programsIn(use: unknown): ProgramUse {
  return orBroken(() => checkProgramUse(use));
}

function checked(plan: unknown, scene: Trial["scene"]): void {
  orBroken(() => checkPlan(plan, scene));
}

function orBroken<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw new Broken(isDenimError(error) ? error.why ?? error.message : reasonOf(error));
  }
}

/** @returns whether it was taken */
function orRefused(parse: () => unknown, what: string): boolean {
  try {
    parse();
    return true;
  } catch (error) {
    if (isDenimError(error, "CONFIG_INVALID")) return false;
    throw new Broken(`${what} fails by another error: ${reasonOf(error)}`, { cause: error });
  }
}

function subjectOf(item: Plan[number]): string {
  if (item.kind === "hook") return `the hook of ${keyOfHook(item)}`;
  return item.kind === "left-out"
    ? `what is left out, ${formatPrefix(item.destination)},`
    : formatSubject(item);
}

function unlike(first: Plan, second: Plan, other: string): string {
  const [a, b] = [new Set(textsOf(first)), new Set(textsOf(second))];
  const lost = first.find((item) => !b.has(textOf(item)));
  if (lost !== undefined) return `${other} lacks ${subjectOf(lost)}, or has it different`;
  const added = second.find((item) => !a.has(textOf(item)));
  return added === undefined
    ? `${other} has more of the same`
    : `${other} adds ${subjectOf(added)}`;
}
