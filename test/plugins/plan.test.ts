/** What holds of every plan of every backend that comes with Denim, whatever the cluster is like. */
import fc from "fast-check";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { backend as gateway } from "../../examples/backends/static/mod.ts";
import { backends } from "../../plugins/mod.ts";
import type { Backend, Host, Json, Peer, Plan } from "../../src/backend/backend.ts";
import { frozen, textOf, textsOf } from "../../src/backend/contract/trial.ts";
import { checkPlan } from "../../src/backend/plan-check.ts";
import { type RawScene, readScene, splitPlan } from "../../src/backend/scene.ts";
import { isDenimError } from "../../src/base/errors.ts";
import type { Family } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { MemoryKernel } from "../../src/kernel/memory-kernel.ts";
import { diff } from "../../src/plan/diff.ts";
import { hostAt, peerAt } from "../support/hosts.ts";
import { root } from "../support/root.ts";

/** What is unlike from one kind of cluster to the next; a peer has a number of its own. */
interface Cluster {
  readonly families: readonly Family[];
  readonly peers: readonly { readonly n: number; readonly near: boolean; readonly legs: string }[];
}

const clusters: fc.Arbitrary<Cluster> = fc.record({
  families: fc.constantFrom<(readonly Family[])[]>([4], [6], [4, 6]),
  peers: fc.uniqueArray(
    fc.record({
      n: fc.integer({ min: 2, max: 200 }),
      near: fc.boolean(),
      legs: fc.constantFrom("46", "46", "4", "6"),
    }),
    { selector: ({ n }) => n, maxLength: 12 },
  ),
});

const subnetsOf = (families: readonly Family[], n: number) =>
  families.map((family) => family === 4 ? `10.42.${n}.0/24` : `fd42:0:0:${n.toString(16)}::/64`);

const secretOf = (n: number) => Uint8Array.from({ length: 32 }, (_, i) => i === 1 ? n : i);

/** A peer as the backend of its own host has published it. */
async function enter(
  backend: Backend,
  config: Json,
  { families, n, near, legs }: Cluster["peers"][number] & Pick<Cluster, "families">,
): Promise<{ readonly host: Host; readonly peer: Peer<Json> }> {
  const ways = families.filter((family) => legs.includes(String(family)));
  const at = (near ? ways : families).map((family) =>
    family === 4
      ? `${near ? "10.0.0" : "192.0.2"}.${n}`
      : `${near ? "fd00" : "2001:db8"}::${n.toString(16)}`
  );
  const host = {
    ...hostAt(...at.map((address) => `${address}/${address.includes(":") ? 64 : 24}`)),
    secret: secretOf(n),
  };
  const use = await backend.programs?.(backend.parseConfig(config));
  const given = use?.first === undefined ? host : { ...host, printed: `printed by ${n}\n` };
  const { data } = await backend.publish(given, backend.parseConfig(config));
  return { host, peer: { ...peerAt(`node-${n}`, at.join(","), ...subnetsOf(families, n)), data } };
}

async function sceneOf(backend: Backend, config: Json, cluster: Cluster): Promise<RawScene> {
  const { families, peers } = cluster;
  const self = { families, n: 1, near: true, legs: "46" };
  const { host, peer: own } = await enter(backend, config, self);
  const others = await Promise.all(
    peers.map((one) => enter(backend, config, { families, ...one })),
  );
  const network = parsePrefix(families[0] === 4 ? "10.42.0.0/16" : "fd42::/48");
  return { network, host, config, own, peers: others.map(({ peer }) => peer) };
}

/** Nothing that it is given can be written to. */
async function planOf(backend: Backend, scene: RawScene): Promise<Plan> {
  return await backend.plan(frozen(readScene(backend, structuredClone(scene)).scene));
}

const exampleOf = (file: string): Json =>
  (JSON.parse(readFileSync(join(root, "examples", file), "utf8")) as { Backend: Json }).Backend;

const named = (name: string) => backends.find((backend) => backend.name === name)!;
const byFamily = ["ip", "$SUBNET", "$IPV6SUBNET", "$PUBLIC_IP", "$PUBLIC_IPV6"];

const CASES: readonly (readonly [string, Backend, Json])[] = [
  ["host-gw", named("host-gw"), {}],
  ["vxlan", named("vxlan"), {}],
  ["vxlan with direct routing", named("vxlan"), { DirectRouting: true }],
  ["vxlan with all its settings", named("vxlan"), { VNI: 7, Port: 4789, GBP: true, MTU: 1400 }],
  ["extension for both families", named("extension"), { SubnetAddCommand: byFamily }],
  ["extension, a tunnel", named("extension"), exampleOf("extension/network.json")],
  ["bird on one link", named("extension"), exampleOf("bird/network.json")],
  ["bird across routers", named("extension"), exampleOf("bird/network-with-routers.json")],
  ["alloc", named("alloc"), {}],
  ["static, IPv4", gateway, { Gateway: "10.0.0.254" }],
  ["static, IPv6", gateway, { Gateway: "fd00::fe" }],
];

for (const [name, backend, config] of CASES) {
  const holds = async (property: (scene: RawScene, at: number) => Promise<boolean>) =>
    await fc.assert(fc.asyncProperty(clusters, fc.nat(), async (cluster, at) => {
      return await property(await sceneOf(backend, config, cluster), at);
    }));

  t.test(`${name}: a plan has nothing twice, and nothing foreign`, async (t) => {
    await holds(async (scene) => {
      const plan = await planOf(backend, scene);
      try {
        checkPlan(plan, scene);
      } catch (error) {
        throw isDenimError(error) ? new Error(error.why) : error;
      }
      return new Set(textsOf(plan)).size === plan.length;
    });
    t.pass("in every cluster");
  });

  t.test(`${name}: a plan is of the scene alone, and not of the peers' order`, async (t) => {
    await holds(async (scene, at) => {
      const peers = [...scene.peers.slice(at % 13), ...scene.peers.slice(0, at % 13)].reverse();
      const [first, again, other] = [
        await planOf(backend, scene),
        await planOf(backend, scene),
        await planOf(backend, { ...scene, peers }),
      ].map((plan) => textOf(textsOf(plan)));
      return first === again && first === other;
    });
    t.pass("in every cluster");
  });

  t.test(`${name}: who goes takes along what is theirs, and nothing else`, async (t) => {
    await holds(async (scene, at) => {
      if (scene.peers.length === 0) return true;
      const gone = scene.peers[at % scene.peers.length]!;
      const peers = scene.peers.filter((peer) => peer !== gone);
      const nobody = new Set(textsOf(await planOf(backend, { ...scene, peers: [] })));
      const theirs = textsOf(await planOf(backend, { ...scene, peers: [gone] }))
        .filter((text) => !nobody.has(text));
      const without = textsOf(await planOf(backend, { ...scene, peers }));
      const all = textsOf(await planOf(backend, scene));
      return textOf([...without, ...theirs].sort()) === textOf(all);
    });
    t.pass("in every cluster");
  });

  t.test(`${name}: what a plan has made it leaves alone, and all of it can go`, async (t) => {
    await holds(async (scene) => {
      await using kernel = new MemoryKernel();
      const addresses = scene.host.addresses.map(({ address }) => ({
        ...{ address, length: address.family === 4 ? 24 : 64 },
      }));
      kernel.addLink("eth0", { addresses });
      const before = await kernel.read();
      const { wanted } = splitPlan(await planOf(backend, scene));
      const networks = [parsePrefix("10.42.0.0/16"), parsePrefix("fd42::/48")];
      const options = { networks, mode: "full" } as const;
      const made = await kernel.apply(diff(wanted, await kernel.read(), options).changes);
      const again = diff(wanted, await kernel.read(), options);
      await kernel.apply(diff([], await kernel.read(), options).changes);
      return made.every(({ error }) => error === undefined) && made.length >= wanted.length &&
        again.changes.length === 0 && again.items.every(({ state }) => state === "ok") &&
        textOf(await kernel.read()) === textOf(before);
    });
    t.pass("in every cluster");
  });
}
