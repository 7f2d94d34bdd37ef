/** The suite itself: for each promise there is a backend that breaks it, and is found out. */
import t from "tap";
import { type Backend, defineBackend, type Json } from "../../../src/backend/backend.ts";
import {
  DEFAULT_SUITE,
  judge,
  PROMISE_NAMES,
  type SuiteOptions,
  type Verdict,
} from "../../../src/backend/contract/suite.ts";
import { DenimError } from "../../../src/base/errors.ts";
import { formatAddress } from "../../../src/ip/address.ts";
import { localMac } from "../../../src/ip/mac.ts";
import { parsePrefix } from "../../../src/ip/prefix.ts";
import type { Link } from "../../../src/plan/wanted.ts";

/** Each node tells its address; a peer's subnets are routed by what it told. */
const good = defineBackend<Json, string>({
  contract: 1,
  name: "good",
  parseConfig(json) {
    const type = (json as { Type?: unknown } | null)?.Type;
    if (type !== "good") throw new DenimError("CONFIG_INVALID", "Type has to be good");
    return json;
  },
  parseData(json) {
    if (typeof json !== "string") throw new DenimError("CONFIG_INVALID", "The data is no text");
    return json;
  },
  publish: (host) => ({ data: formatAddress(host.addresses[0]!.publicIp), mtu: host.link.mtu }),
  plan: ({ host, peers }) =>
    peers.flatMap((peer) =>
      peer.subnets.map((destination) => ({
        ...{ kind: "route" as const, destination, device: host.link.name },
      }))
    ),
});

type AnyBackend = Backend<Json, string>;
type Change = Partial<AnyBackend>;

async function verdictOf(
  change: Change,
  promise: string,
  more: Partial<SuiteOptions> = {},
): Promise<Verdict> {
  const name = PROMISE_NAMES.find((name) => name.includes(promise));
  if (name === undefined) throw new Error(`no promise says "${promise}"`);
  const backend = { ...good, ...change } as unknown as Backend;
  return await judge(backend, name, { ...DEFAULT_SUITE, configs: [{ Type: "good" }], ...more });
}

const linkAt = (network: string, name = "denim.1", secret = new Uint8Array(6)): Link => ({
  ...{ kind: "link", name, network: parsePrefix(network), mac: localMac(secret), mtu: 1200 },
  tunnel: {
    ...{ kind: "vxlan", vni: 1, port: 8472, underlay: "eth0", learning: false },
    local: { family: 4, value: 3_221_225_985n },
  },
});

const HOOK = {
  kind: "hook",
  add: {
    ...{ name: "SubnetAdd", argv: ["/bin/sh", "-c", "true"], env: {}, input: "", timeoutMs: 1000 },
  },
} as const;

let calls = 0;

/** What breaks it, and what the suite says then. */
const BREAKERS: readonly (readonly [promise: string, Change, RegExp])[] = [
  ["its name and its contract", { contract: 2 as 1 }, /contract 2/],
  ["its name and its contract", { name: "Not A Name" }, /lower-case/],
  ["a bad config", {
    parseConfig: (json) => ({ ...(json as object), it: (json as { Type: string }).Type.length }),
  }, /parseConfig\(.*fails by another error/],
  ["plain JSON", { publish: () => ({ data: undefined as never, mtu: 1200 }) }, /undefined/],
  ["plain JSON", { publish: () => ({ data: "", mtu: 65_536 }) }, /MTU 65536 on a link/],
  ["publishes the same", {
    publish: () => ({ data: String(calls++), mtu: 1200 }),
  }, /first \{"data":"\d+",.*then \{"data":"\d+"/],
  ["publishes the same", {
    publish() {
      throw new TypeError("no such thing");
    },
  }, /publish\(\) failed: no such thing/],
  ["read by its peers", {
    publish: () => ({ data: 7 as unknown as string, mtu: 1200 }),
  }, /node-\d+ published 7: The data is no text/],
  ["bad data of a peer", {
    parseData: (json) => (json as string).trim(),
  }, /parseData\(.*fails by another error/],
  ["bad data of a peer", {
    parseData: (json) => json as string,
    plan(scene) {
      for (const { data } of scene.peers) data.trim();
      return [];
    },
  }, /plan\(\) failed/],
  ["the right shapes", { plan: () => "none" as never }, /it is "none", and no array/],
  ["the right shapes", {
    plan: () => [{ ...linkAt("10.244.0.0/16"), name: "eth0" }],
  }, /whose name is "eth0", no name of a link of Denim's/],
  ["the right shapes", {
    plan: ({ host }) => [
      { kind: "route", destination: parsePrefix("0.0.0.0/0"), device: host.link.name },
    ],
  }, /0\.0\.0\.0\/0: it lies outside/],
  ["planned twice", {
    plan: async (scene) => [...await good.plan(scene), ...await good.plan(scene)],
  }, /is there twice/],
  ["plain data", {
    plan: async (scene) => (await good.plan(scene)).map((item) => ({ ...item, note: () => 1 })),
  }, /could not be cloned/],
  ["what it is given", {
    plan(scene) {
      (scene.peers as unknown[]).reverse();
      return good.plan(scene);
    },
  }, /once nothing can be changed: Cannot/],
  ["the same scene", {
    plan: async (scene) => (calls++ % 2 === 0 ? [] : await good.plan(scene)),
  }, /the second plan (adds|lacks)/],
  ["the order of the peers", {
    plan: async ({ peers, ...scene }) => await good.plan({ ...scene, peers: peers.slice(0, 1) }),
  }, /the plan for another order (adds|lacks)/],
  ["a peer that goes", {
    plan: async (scene) =>
      (await good.plan(scene)).map((item) => ({
        ...item,
        ...("device" in item ? { device: `eth${scene.peers.length}` } : {}),
      })),
  }, /is new, or different, once node-\d+ has gone/],
  ["a peer that goes", {
    plan: async (scene) => scene.peers.length % 2 === 0 ? await good.plan(scene) : [],
  }, /goes along with|is new, or different/],
  ["without peers", {
    plan: (scene) => [{ ...linkAt("10.244.0.0/16"), mac: scene.peers[0]!.data }],
  }, /plan\(\) failed/],
  ["the programs that it names", {
    programs: () => ({ argvs: [["ip", "route"]] }),
    plan: ({ own }) => [{ ...HOOK, destination: own.subnets[0]! }],
  }, /SubnetAdd runs \/bin\/sh, which programs\(\) lacks/],
  ["the programs that it names", {
    programs: () => ({ argvs: [[]] }),
  }, /whose argvs is \[\[\]\], no array of such: \[0\] is no list that begins with a program/],
  ["nothing is changed", {
    plan: async (scene) =>
      (await good.plan(scene)).map((item) => ({ ...item, onlink: 0 as never })),
  }, /again and again: ip/],
];

t.test("a backend that keeps everything is told so", async (t) => {
  for (const name of PROMISE_NAMES) {
    t.equal((await verdictOf({}, name)).failure?.why, undefined, name);
  }
});

for (const [promise, change, said] of BREAKERS) {
  t.test(`found out: ${promise}, ${said.source}`, async (t) => {
    const { failure } = await verdictOf(change, promise);
    t.match(failure?.why ?? "nothing", said);
  });
}

t.test("for each promise there is one that breaks it", async (t) => {
  const missed = PROMISE_NAMES.filter((name) =>
    !BREAKERS.some(([promise]) => name.includes(promise))
  );
  t.same(missed, []);
});

t.test("a failure has the seed by which it is met again", async (t) => {
  const change: Change = { plan: () => "none" as never };
  const first = (await verdictOf(change, "the right shapes")).failure!;
  const name = PROMISE_NAMES.find((name) => name.includes("the right shapes"))!;
  const again = await judge({ ...good, ...change } as unknown as Backend, name, {
    configs: [{ Type: "good" }],
    ...{ seed: first.seed, scenes: 1 },
  });
  t.equal(again.failure?.why, first.why);
});

t.test("a backend that takes no host at all is not called a good one", async (t) => {
  const { failure } = await verdictOf({
    publish() {
      throw new DenimError("CONFIG_INVALID", "This host has no such card");
    },
  }, "the same scene");
  t.match(failure?.why ?? "", /no host can take part: This host has no such card/);
});

t.test("one that publishes what a program prints is tried with what that would be", async (t) => {
  const told = new Set<string>();
  const change: Change = {
    programs: () => ({
      argvs: [["key"]],
      first: { name: "Key", argv: ["key"], env: {}, input: "", timeoutMs: 1_000 },
    }),
    publish({ link, printed = "" }) {
      if (printed === "") throw new DenimError("CONFIG_INVALID", "The program has no key");
      told.add(printed);
      return { data: printed, mtu: link.mtu };
    },
  };
  const { failure } = await verdictOf(change, "the same scene");
  t.match(failure?.why ?? "", /The program has no key \(what its .* given: --printed TEXT\)$/);
  for (const name of PROMISE_NAMES) {
    t.equal((await verdictOf(change, name, { prints: ["one", "two"] })).failure?.why, undefined);
  }
  t.same([...told].sort(), ["one", "two"]);
});
