import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import t from "tap";
import { vxlan } from "../../plugins/vxlan/mod.ts";
import type { Vtep, VxlanConfig } from "../../plugins/vxlan/config.ts";
import type { Host, Json, Peer, Plan } from "../../src/backend/backend.ts";
import { splitPlan } from "../../src/backend/scene.ts";
import { parseAddress } from "../../src/ip/address.ts";
import { contains, formatPrefix, parsePrefix } from "../../src/ip/prefix.ts";
import { MemoryKernel } from "../../src/kernel/memory-kernel.ts";
import { diff } from "../../src/plan/diff.ts";
import { formatSubject } from "../../src/plan/subject.ts";
import { formatChange, formatWanted } from "../../src/plan/text.ts";
import { hostAt, peerAt } from "../support/hosts.ts";
import { root } from "../support/root.ts";
import { kernelWith } from "../support/routes.ts";

const host = hostAt("10.0.0.1/24");
const dual = hostAt("10.0.0.1/24", "fd00::1/64");
const NETWORKS = [parsePrefix("10.42.0.0/16"), parsePrefix("fd42::/48")];
const OWN_MAC = "02:00:00:00:00:00";

function macOf(n: number): string {
  return `02:00:00:00:${(n >> 8).toString(16).padStart(2, "0")}:${
    (n & 255).toString(16).padStart(2, "0")
  }`;
}

/** Node `n` of the names `b`, `c`, …: its place, its subnets and what it publishes. */
function peer(n: number, publicIps: string, subnets: string[], data: Partial<Vtep> = {}) {
  const name = String.fromCharCode(96 + n);
  return {
    ...peerAt(name, publicIps, ...subnets),
    data: { VNI: 1, VtepMAC: macOf(n), ...data },
  };
}

const config = (json: object = {}) => vxlan.parseConfig({ Type: "vxlan", ...json });

async function planOf(
  peers: readonly Peer<Vtep>[],
  { on = host, as = config(), own = ["10.42.1.0/24"] }: {
    on?: Host;
    as?: VxlanConfig;
    own?: string[];
  } = {},
): Promise<Plan> {
  const { data } = await vxlan.publish(on, as);
  const self = { ...peerAt("a", "10.0.0.1", ...own), data };
  return await vxlan.plan({ network: NETWORKS[0]!, host: on, config: as, own: self, peers });
}

type Options = Parameters<typeof planOf>[1];

/** What an empty kernel would be told. */
async function lines(peers: readonly Peer<Vtep>[], options?: Options): Promise<string[]> {
  const { wanted } = splitPlan(await planOf(peers, options));
  return diff(wanted, kernelWith([]), { networks: NETWORKS, mode: "full" })
    .changes.flatMap(formatChange);
}

/** Which subnets get no route, and why. */
async function leftOut(peers: readonly Peer<Vtep>[], options?: Options): Promise<string[]> {
  return splitPlan(await planOf(peers, options)).leftOut
    .map(({ destination, why }) => `${formatPrefix(destination)}: ${why}`);
}

const b = peer(2, "192.0.2.2", ["10.42.2.0/24"]);
const near = peer(3, "10.0.0.3", ["10.42.3.0/24"]);

const LINK = [
  `ip link add denim.1 mtu 1450 address ${OWN_MAC} group 68 type vxlan id 1 dstport 8472 ` +
  "local 10.0.0.1 dev eth0 nolearning",
  "ip link set denim.1 alias denim:10.42.0.0/16 up",
  "ip address add 10.42.1.0/32 dev denim.1",
];

t.test("the tunnel, and for each peer a neighbour, where it is, and a route by it", async (t) => {
  t.same(await lines([b]), [
    ...LINK,
    "ip neigh add 10.42.2.0 lladdr 02:00:00:00:00:02 dev denim.1 nud permanent",
    "bridge fdb add 02:00:00:00:00:02 dev denim.1 dst 192.0.2.2 self permanent",
    "ip route add 10.42.2.0/24 via 10.42.2.0 dev denim.1 onlink proto 68",
  ]);
  t.same(await leftOut([b]), []);
});

t.test("the kernel state on its page is what it plans", async (t) => {
  const page = readFileSync(join(root, "plugins/vxlan/README.md"), "utf8");
  const secret = Uint8Array.of(0, 0x2a, 0x6b, 0x0c, 0x9e, 0x51, ...new Uint8Array(26));
  const far = peer(2, "192.0.2.2", ["10.42.2.0/24"], { VtepMAC: "22:57:84:33:8b:e1" });
  const all = await lines([far], { on: { ...host, secret } });
  t.equal(/^```text\n([^]*?)\n```/m.exec(page)?.[1], all.join("\n"));
});

t.test("alone there is the own end of it", async (t) => {
  t.same(await lines([]), LINK);
});

t.test("all of the tunnel's settings are the config's", async (t) => {
  const as = config({ vni: 77, PORT: 4789, GBP: true, Learning: true, MTU: 1400 });
  const tunnel = "id 77 dstport 4789 local 10.0.0.1 dev eth0 learning gbp";
  t.equal(
    (await lines([], { as }))[0],
    `ip link add denim.77 mtu 1350 address ${OWN_MAC} group 68 type vxlan ${tunnel}`,
  );
});

t.test("with direct routing, who is on the link is reached without the tunnel", async (t) => {
  const as = config({ DirectRouting: true });
  const direct = "ip route add 10.42.3.0/24 via 10.0.0.3 dev eth0 proto 68";
  const all = await lines([b, near], { as });
  t.ok(all.includes(direct));
  t.same(all.filter((line) => line.includes("10.42.3.") && line !== direct), []);
  t.ok(all.includes("ip route add 10.42.2.0/24 via 10.42.2.0 dev denim.1 onlink proto 68"));
  t.notOk((await lines([b, near])).includes(direct), "and nobody is, without it");
});

t.test("each family has a tunnel of its own, by its own underlay", async (t) => {
  const both = peer(2, "192.0.2.2,2001:db8::2", ["10.42.2.0/24", "fd42:0:0:2::/64"]);
  const own = ["10.42.1.0/24", "fd42:0:0:1::/64"];
  const all = await lines([both], { on: dual, own });
  t.same(all.filter((line) => line.includes("denim6.1")), [
    `ip link add denim6.1 mtu 1430 address ${OWN_MAC} group 68 type vxlan id 1 dstport 8472 ` +
    "local fd00::1 dev eth0 nolearning",
    "ip link set denim6.1 alias denim:10.42.0.0/16 up",
    "ip address add fd42:0:0:1::/128 dev denim6.1",
    "ip neigh add fd42:0:0:2:: lladdr 02:00:00:00:00:02 dev denim6.1 nud permanent",
    "bridge fdb add 02:00:00:00:00:02 dev denim6.1 dst 2001:db8::2 self permanent",
    "ip -6 route add fd42:0:0:2::/64 via fd42:0:0:2:: dev denim6.1 onlink proto 68",
  ]);
  t.equal(all.length, 12);
  const six = peer(2, "2001:db8::2", ["fd42:0:0:2::/64"]);
  const alone = await lines([six], { on: hostAt("fd00::1/64"), own: ["fd42:0:0:1::/64"] });
  t.same(alone.filter((line) => !line.includes("denim6.1")), []);
});

t.test("what one family lacks does not cost the other", async (t) => {
  const four = peer(2, "192.0.2.2", ["10.42.2.0/24", "fd42:0:0:2::/64"]);
  const both = peer(3, "192.0.2.3,2001:db8::3", ["10.42.3.0/24", "fd42:0:0:3::/64"]);
  const own = ["10.42.1.0/24", "fd42:0:0:1::/64"];
  t.same(await leftOut([four, both], { on: dual, own }), [
    "fd42:0:0:2::/64: b has no IPv6 address that it could be reached at",
  ]);
  t.same(await leftOut([both], { own }), [
    "fd42:0:0:3::/64: this host has no IPv6 address for the tunnel",
  ]);
  const routes = (await lines([both], { own })).filter((line) => /route/.test(line));
  t.same(routes, ["ip route add 10.42.3.0/24 via 10.42.3.0 dev denim.1 onlink proto 68"]);
});

t.test("who is not in this tunnel is not sent into it", async (t) => {
  const other = peer(2, "192.0.2.2", ["10.42.2.0/24"], { VNI: 2 });
  const port = peer(3, "10.0.0.3", ["10.42.3.0/24"], { Port: 4789 });
  t.same(await leftOut([other, port]), [
    "10.42.2.0/24: b has the tunnel of VNI 2 and port 8472, this host that of VNI 1 and port " +
    "8472: they meet when both follow the same network config",
    "10.42.3.0/24: c has the tunnel of VNI 1 and port 4789, this host that of VNI 1 and port " +
    "8472: they meet when both follow the same network config",
  ]);
  t.same(await lines([other, port]), LINK);
  const as = config({ Port: 4789 });
  t.same(await leftOut([port], { as }), [], "and with that port it is the other way round");
  t.match((await leftOut([b], { as })).join(), /b has the tunnel of VNI 1 and port 8472/);
  const direct = await leftOut([other, port], { as: config({ DirectRouting: true }) });
  t.equal(direct.length, 1, "who is on the link needs no tunnel");
});

t.test("of two with one MAC address the first subnet's has it, and never this host's", async (t) => {
  const copy = peer(3, "192.0.2.3", ["10.42.3.0/24"], { VtepMAC: macOf(2) });
  for (const peers of [[b, copy], [copy, b]]) {
    t.same(await leftOut(peers), [
      "10.42.3.0/24: c's MAC address 02:00:00:00:00:02 is b's, too: was one host copied?",
    ]);
  }
  const mine = peer(3, "192.0.2.3", ["10.42.3.0/24"], { VtepMAC: OWN_MAC });
  t.match((await leftOut([mine])).join(), /c's MAC address \S+ is this host's, too/);
});

t.test("no tunnel ends at a link-local address", async (t) => {
  const far = peer(2, "fe80::2", ["fd42:0:0:2::/64"]);
  const own = ["fd42:0:0:1::/64"];
  t.same(await leftOut([far], { on: hostAt("fd00::1/64"), own }), [
    "fd42:0:0:2::/64: b is at fe80::2, which is link-local",
  ]);
  t.throws(() => vxlan.publish(hostAt("10.0.0.1/24", "fe80::1/64"), config()), {
    code: "CONFIG_INVALID",
    why: "its IPv6 address fe80::1 is link-local: no tunnel ends there",
  });
});

t.test("peers are told what flannel tells them, and the MAC address is the node's own", async (t) => {
  const secret = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
  const { data } = await vxlan.publish({ ...host, secret }, config());
  t.same(data, { VNI: 1, VtepMAC: "02:02:03:04:05:06" });
  t.same((await vxlan.publish({ ...host, secret }, config())).data, data);
  t.same((await vxlan.publish(host, config({ VNI: 7, Port: 4789 }))).data, {
    ...{ VNI: 7, VtepMAC: OWN_MAC, Port: 4789 },
  });
  t.same((await vxlan.publish(host, config({ Port: 8472 }))).data, { VNI: 1, VtepMAC: OWN_MAC });
});

t.test("containers' packets fit beside the outer headers of every family", async (t) => {
  const mtu = async (on: Host, as = config()) => (await vxlan.publish(on, as)).mtu;
  const jumbo = { ...dual, link: { ...dual.link, mtu: 9000 } };
  t.same([await mtu(host), await mtu(dual), await mtu(hostAt("fd00::1/64"))], [1450, 1430, 1430]);
  t.same([await mtu(jumbo), await mtu(jumbo, config({ MTU: 1500 }))], [8930, 1430]);
  t.equal(await mtu(host, config({ MTU: 9000 })), 1450, "never more than the link takes");
  const narrow = { ...dual, link: { ...dual.link, mtu: 1349 } };
  t.throws(() => vxlan.publish(narrow, config()), {
    code: "CONFIG_INVALID",
    why: "1279 bytes fit into its packets beside the outer headers; IPv6 needs 1280 (RFC 8200)",
  });
});

t.test("keys in any case, null as if it were not there, and what is not one is refused", async (t) => {
  t.same(vxlan.parseConfig({ Type: "vxlan", vni: null, NAME: "x", macprefix: "0E-2A" }), config());
  t.same(config(), {
    ...{ vni: 1, port: 8472, directRouting: false, gbp: false, learning: false, mtu: undefined },
  });
  const bad: readonly [Json, RegExp][] = [
    [{ VNI: 2 ** 24 }, /VNI must be a whole number from 0 to 16777215/],
    [{ VNI: "1" }, /VNI/],
    [{ Port: 65_536 }, /Port must be a whole number from 0 to 65535/],
    [{ Port: 1.5 }, /Port/],
    [{ MTU: 100 }, /MTU must be from 576 to 65535/],
    [{ GBP: 1 }, /GBP must be true or false/],
    [{ DirectRoute: true }, /Unknown key "DirectRoute"/],
    [[], /not a JSON object/],
    [null, /not a JSON object/],
  ];
  for (const [json, message] of bad) {
    t.throws(() => vxlan.parseConfig(json), { code: "CONFIG_INVALID" });
    t.match(refusalOf(() => vxlan.parseConfig(json)), message);
  }
});

t.test("what a peer publishes is read as flannel writes it, or not at all", async (t) => {
  t.same(vxlan.parseData({ VNI: 1, VtepMAC: "2A:57:84:33:8B:E1" }), {
    ...{ VNI: 1, VtepMAC: "2a:57:84:33:8b:e1" },
  });
  t.same(vxlan.parseData({ VtepMAC: "22:57:84:33:8b:e1" }).VNI, 1);
  for (
    const json of [
      ...[null, "x", [], {}, { VNI: 1 }, { VtepMAC: 5 }, { VtepMAC: "22:57:84:33:8b" }],
      ...[{ VtepMAC: "01:00:5e:00:00:01" }, { VtepMAC: "00:00:00:00:00:00" }],
      ...[{ VtepMAC: macOf(2), VNI: -1 }, { VtepMAC: macOf(2), Port: "8472" }],
    ] as Json[]
  ) t.throws(() => vxlan.parseData(json), { code: "CONFIG_INVALID" });
});

function refusalOf(act: () => unknown): string {
  try {
    act();
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

/** A network of both families, in which each peer has a number of its own, and may have less. */
const scenes = fc.record({
  peers: fc.uniqueArray(fc.integer({ min: 2, max: 60 }), { maxLength: 12 }).chain((numbers) =>
    fc.tuple(...numbers.map((n) =>
      fc.record({
        isNear: fc.boolean(),
        vni: fc.constantFrom(1, 1, 1, 2),
        families: fc.constantFrom("4", "6", "46"),
      }).map(({ isNear, vni, families }): Peer<Vtep> => {
        const at = isNear ? [`10.0.0.${n}`, `fd00::${n}`] : [`192.0.2.${n}`, `2001:db8::${n}`];
        const publicIps = at.filter((_, i) => families.includes(i === 0 ? "4" : "6")).join(",");
        return {
          ...peer(n, publicIps, [`10.42.${n}.0/24`, `fd42:0:0:${n}::/64`], { VNI: vni }),
          node: `node-${n}`,
        };
      })
    ))
  ),
  directRouting: fc.boolean(),
});

const OWN = ["10.42.1.0/24", "fd42:0:0:1::/64"];

const drawn = (peers: readonly Peer<Vtep>[], DirectRouting: boolean) =>
  planOf(peers, { on: dual, as: config({ DirectRouting }), own: OWN });

const textsOf = (plan: Plan) =>
  plan.map((item) =>
    item.kind === "left-out"
      ? `left-out ${formatPrefix(item.destination)}`
      : item.kind === "hook"
      ? "a hook"
      : `${item.kind} ${formatWanted(item)}`
  ).sort();

t.test("whatever the peers are, a plan names nothing twice and nothing of others", async (t) => {
  await fc.assert(fc.asyncProperty(scenes, async ({ peers, directRouting }) => {
    const { wanted, leftOut } = splitPlan(await drawn(peers, directRouting));
    const names = [
      ...wanted.map(formatSubject),
      ...leftOut.map((l) => formatPrefix(l.destination)),
    ];
    const known = peers.flatMap(({ subnets }) => subnets.map(formatPrefix));
    const routes = wanted.filter((item) => item.kind === "route");
    const ways = [...routes, ...leftOut].map(({ destination }) => formatPrefix(destination)).sort();
    return new Set(names).size === names.length && String(ways) === String(known.sort()) &&
      routes.every(({ destination }) => NETWORKS.some((block) => contains(block, destination))) &&
      wanted.every((item) =>
        item.kind === "link" || item.kind === "route" || /^denim6?\.1$/.test(item.device)
      );
  }));
  t.pass("for every scene");
});

t.test("the order of the peers does not matter, and who goes takes along what is theirs", async (t) => {
  await fc.assert(fc.asyncProperty(scenes, fc.nat(), async ({ peers, directRouting }, at) => {
    const all = textsOf(await drawn(peers, directRouting));
    if (String(textsOf(await drawn([...peers].reverse(), directRouting))) !== String(all)) {
      return false;
    }
    if (peers.length === 0) return true;
    const gone = peers[at % peers.length]!;
    const without = textsOf(await drawn(peers.filter((one) => one !== gone), directRouting));
    const alone = textsOf(await drawn([gone], directRouting));
    const end = textsOf(await drawn([], directRouting));
    const theirs = alone.filter((text) => !end.includes(text));
    return String([...without, ...theirs].sort()) === String(all);
  }));
  t.pass("for every scene");
});

t.test("what a plan has made is what it wants: again it changes nothing", async (t) => {
  await fc.assert(fc.asyncProperty(scenes, async ({ peers, directRouting }) => {
    await using kernel = new MemoryKernel();
    kernel.addLink("eth0", {
      addresses: [
        { address: parseAddress("10.0.0.1"), length: 24 },
        { address: parseAddress("fd00::1"), length: 64 },
      ],
    });
    const { wanted } = splitPlan(await drawn(peers, directRouting));
    const options = { networks: NETWORKS, mode: "full" } as const;
    const outcomes = await kernel.apply(diff(wanted, await kernel.read(), options).changes);
    const again = diff(wanted, await kernel.read(), options);
    // And all of it goes, and nothing else, when nothing is wanted.
    await kernel.apply(diff([], await kernel.read(), options).changes);
    const left = await kernel.read();
    return outcomes.every(({ error }) => error === undefined) && again.changes.length === 0 &&
      again.items.every(({ state }) => state === "ok") && left.links.length === 1 &&
      left.routes.every(({ device }) => device === "eth0") && left.routes.length === 2;
  }));
  t.pass("for every scene");
});

t.test("a peer that is another one now takes three changes, and its route stays", async (t) => {
  const { wanted } = splitPlan(await planOf([b]));
  const options = { networks: NETWORKS, mode: "full" } as const;
  await using kernel = new MemoryKernel();
  kernel.addLink("eth0", { addresses: [{ address: parseAddress("10.0.0.1"), length: 24 }] });
  await kernel.apply(diff(wanted, await kernel.read(), options).changes);
  const changes = async (next: Peer<Vtep>, as = config()) => {
    const { wanted } = splitPlan(await planOf([next], { as }));
    return diff(wanted, await kernel.read(), options).changes.flatMap(formatChange);
  };
  t.same(await changes({ ...b, data: { VNI: 1, VtepMAC: macOf(9) } }), [
    "ip neigh replace 10.42.2.0 lladdr 02:00:00:00:00:09 dev denim.1 nud permanent",
    "bridge fdb add 02:00:00:00:00:09 dev denim.1 dst 192.0.2.2 self permanent",
    "bridge fdb del 02:00:00:00:00:02 dev denim.1 self",
  ]);
  t.same(await changes({ ...b, publicIps: [parseAddress("192.0.2.99")] }), [
    "bridge fdb replace 02:00:00:00:00:02 dev denim.1 dst 192.0.2.99 self permanent",
  ]);
  const moved = { ...b, publicIps: [parseAddress("10.0.0.2")] };
  t.same((await changes(moved, config({ DirectRouting: true }))).slice(0, 2), [
    "ip route del 10.42.2.0/24 via 10.42.2.0 dev denim.1 onlink proto 68",
    "ip route add 10.42.2.0/24 via 10.0.0.2 dev eth0 proto 68",
  ]);
});
