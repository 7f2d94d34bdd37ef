import t from "tap";
import { parseAddress } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { diff } from "../../src/plan/diff.ts";
import type { Difference, DiffOptions } from "../../src/plan/difference.ts";
import { EMPTY_KERNEL, type KernelLink, type KernelRoute } from "../../src/plan/kernel.ts";
import { formatSubject } from "../../src/plan/subject.ts";
import { formatChange } from "../../src/plan/text.ts";
import type { Wanted } from "../../src/plan/wanted.ts";
import { kernelLink, vxlan } from "../support/links.ts";
import { kernelRoute, route } from "../support/routes.ts";

const full: DiffOptions = { networks: [parsePrefix("10.42.0.0/16")], mode: "full" };
const addOnly: DiffOptions = { ...full, mode: "add-only" };
const OURS = vxlan();

const against = (
  wanted: readonly Wanted[],
  links: readonly KernelLink[],
  { options = full, routes = [] }: { options?: DiffOptions; routes?: KernelRoute[] } = {},
) => diff(wanted, { ...EMPTY_KERNEL, links, routes }, options);
const text = (difference: Difference) => difference.changes.flatMap(formatChange);
const states = (difference: Difference) =>
  difference.items.map(({ about, state }) => `${formatSubject(about)} ${state}`);

const MADE = [
  "ip link add denim.1 mtu 1450 address 02:00:00:00:00:01 group 68 " +
  "type vxlan id 1 dstport 8472 local 10.0.0.1 dev eth0 nolearning",
  "ip link set denim.1 alias denim:10.42.0.0/16 up",
];

t.test("a link that is missing is made, before what goes by it", async (t) => {
  const by = route("10.42.2.0/24", undefined, "denim.1");
  const difference = against([by, OURS], []);
  t.same(text(difference), [...MADE, "ip route add 10.42.2.0/24 dev denim.1 proto 68"]);
  t.same(states(difference), ["link denim.1 missing", "10.42.2.0/24 missing"]);
});

t.test("one that is as it should be stays", async (t) => {
  const difference = against([OURS], [kernelLink(OURS)]);
  t.same([text(difference), states(difference)], [[], ["link denim.1 ok"]]);
});

t.test("MAC, MTU, state and network change in place", async (t) => {
  const found = [
    kernelLink(vxlan({ mac: "02:00:00:00:00:99" })),
    kernelLink(vxlan({ mtu: 1300 })),
    kernelLink(OURS, { up: false }),
    kernelLink(OURS, { alias: "denim:10.42.8.0/24" }),
  ];
  for (const link of found) {
    const difference = against([OURS], [link]);
    t.same(text(difference), [
      "ip link set denim.1 mtu 1450 address 02:00:00:00:00:01 alias denim:10.42.0.0/16 up",
    ]);
    t.same(states(difference), ["link denim.1 different"]);
  }
});

t.test("another tunnel takes its place, and what went by it comes back with it", async (t) => {
  const others = [
    ...[{ vni: 2 }, { port: 4789 }, { learning: true }, { gbp: true }, { underlay: "eth1" }],
    { local: parseAddress("10.0.0.2") },
  ];
  const wanted = [OURS, route("10.42.2.0/24", undefined, "denim.1")];
  for (const other of others) {
    const routes = [kernelRoute("10.42.2.0/24", undefined, { device: "denim.1" })];
    const difference = against(wanted, [kernelLink(vxlan(other))], { routes });
    const now = ["ip link del denim.1", ...MADE, "ip route add 10.42.2.0/24 dev denim.1 proto 68"];
    t.same(text(difference), now, JSON.stringify(Object.keys(other)));
  }
});

t.test("so does one in place of what no plan can want", async (t) => {
  const { tunnel: _, ...other } = OURS;
  t.same(text(against([OURS], [kernelLink(other)])), ["ip link del denim.1", ...MADE]);
});

t.test("a link without the whole mark is in the way, and stays", async (t) => {
  const strangers = [
    ...[{ group: 0 }, { alias: "" }, { alias: "mine" }, { alias: "denim:" }],
    { alias: "denim:10.99.0.0/16" },
  ];
  for (const mark of strangers) {
    const difference = against([OURS], [kernelLink(vxlan({ vni: 9 }), mark)]);
    t.same([text(difference), states(difference)], [[], ["link denim.1 conflict"]]);
    t.match(difference.items[0]?.why ?? "", /does not carry this network's mark/);
    t.same(text(against([], [kernelLink(OURS, mark)])), [], "nor is it removed");
  }
});

t.test("one that was begun and not marked is gone on from, also when only adding", async (t) => {
  const begun = kernelLink(OURS, { alias: "", up: false });
  for (const options of [full, addOnly]) {
    t.same(text(against([OURS], [begun], { options })), [
      "ip link set denim.1 mtu 1450 address 02:00:00:00:00:01 alias denim:10.42.0.0/16 up",
    ]);
  }
  const other = kernelLink(vxlan({ vni: 9 }), { alias: "", up: false });
  t.same(text(against([OURS], [other])), ["ip link del denim.1", ...MADE]);
  t.same(text(against([], [begun])), [], "nobody who does not want it has a right to it");
});

t.test("what nobody wants any more goes last", async (t) => {
  const routes = [kernelRoute("10.42.2.0/24", undefined, { device: "denim-b" })];
  const gone = kernelLink(vxlan({ name: "denim-b", vni: 2 }), { index: 8 });
  const difference = against([OURS], [kernelLink(OURS), gone], { routes });
  t.same(text(difference), [
    "ip route del 10.42.2.0/24 dev denim-b proto 68",
    "ip link del denim-b",
  ]);
  t.same(states(difference), ["link denim-b extra", "link denim.1 ok", "10.42.2.0/24 extra"]);
});

t.test("add-only takes nothing away and changes nothing that stands", async (t) => {
  const gone = kernelLink(vxlan({ name: "denim-b", vni: 2 }), { index: 8 });
  const network = parsePrefix("10.42.128.0/17");
  for (const other of [{ vni: 2 }, { mtu: 1300 }, { mac: "02:00:00:00:00:99" }, { network }]) {
    const difference = against([OURS], [kernelLink(vxlan(other)), gone], { options: addOnly });
    t.same(text(difference), []);
    t.same(states(difference), ["link denim-b extra", "link denim.1 different"]);
  }
  const down = against([OURS], [kernelLink(OURS, { up: false })], { options: addOnly });
  t.equal(text(down).length, 1, "a link that is down carries nobody's packets");
});

t.test("a link that no host should have is not made, and the others are", async (t) => {
  const unfit = [
    ...[vxlan({ name: "flannel.1" }), vxlan({ name: "denim-with-a-long-name" })],
    ...[vxlan({ mac: "01:00:00:00:00:01" }), vxlan({ mac: "00:00:00:00:00:00" })],
    ...[vxlan({ mac: "02:00:00:00:00" }), vxlan({ network: parsePrefix("10.99.0.0/16") })],
  ];
  for (const link of unfit) {
    const difference = against([link, vxlan({ name: "denim-c" })], []);
    t.equal(difference.changes.length, 1, formatSubject(link));
    t.equal(difference.items.filter(({ state }) => state === "conflict").length, 1);
  }
  const twice = against([OURS, vxlan({ vni: 2 })], []);
  t.same(states(twice), ["link denim.1 missing", "link denim.1 conflict"]);
});
