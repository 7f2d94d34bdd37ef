import fc from "fast-check";
import t from "tap";
import { parseAddress } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { diff } from "../../src/plan/diff.ts";
import type { Difference, DiffOptions } from "../../src/plan/difference.ts";
import {
  EMPTY_KERNEL,
  type KernelAddress,
  type KernelForwarding,
  type KernelNeighbour,
  type KernelState,
} from "../../src/plan/kernel.ts";
import { formatSubject } from "../../src/plan/subject.ts";
import { formatChange } from "../../src/plan/text.ts";
import type { ForwardingEntry, LinkAddress, Neighbour, Wanted } from "../../src/plan/wanted.ts";
import { forwarding, kernelLink, linkAddress, neighbour, vxlan } from "../support/links.ts";
import { route } from "../support/routes.ts";

const full: DiffOptions = { networks: [parsePrefix("10.42.0.0/16")], mode: "full" };
const addOnly: DiffOptions = { ...full, mode: "add-only" };

const OURS = vxlan();
const MAC = "02:00:00:00:00:02";
const ADDRESS = linkAddress("10.42.1.0/32");
const NEIGHBOUR = neighbour("10.42.2.0", MAC);
const ENTRY = forwarding(MAC, "10.0.0.2");
const ROUTE = { ...route("10.42.2.0/24", "10.42.2.0", "denim.1"), onlink: true };
const PLAN: readonly Wanted[] = [ROUTE, ENTRY, NEIGHBOUR, ADDRESS, OURS];

const PERMANENT = { deprecated: false, temporary: false, permanent: true, tentative: false };
const addressThere = (
  { address, length }: LinkAddress,
  more: Partial<KernelAddress> = {},
): KernelAddress => ({ linkIndex: 7, address, length, scope: "global", flags: PERMANENT, ...more });
const neighbourThere = (item: Neighbour, more: Partial<KernelNeighbour> = {}): KernelNeighbour => ({
  ...item,
  permanent: true,
  ...more,
});
const entryThere = (
  item: ForwardingEntry,
  more: Partial<KernelForwarding> = {},
): KernelForwarding => ({ ...item, permanent: true, plain: true, ...more });

const there = (state: Partial<KernelState> = {}): KernelState => ({
  ...EMPTY_KERNEL,
  links: [kernelLink(OURS)],
  addresses: [addressThere(ADDRESS)],
  neighbours: [neighbourThere(NEIGHBOUR)],
  forwarding: [entryThere(ENTRY)],
  ...state,
});

const text = (difference: Difference) => difference.changes.flatMap(formatChange);
const states = (difference: Difference) =>
  difference.items.map(({ about, state }) => `${formatSubject(about)} ${state}`);

const MADE = [
  "ip address add 10.42.1.0/32 dev denim.1",
  "ip neigh add 10.42.2.0 lladdr 02:00:00:00:00:02 dev denim.1 nud permanent",
  "bridge fdb add 02:00:00:00:00:02 dev denim.1 dst 10.0.0.2 self permanent",
  "ip route add 10.42.2.0/24 via 10.42.2.0 dev denim.1 onlink proto 68",
];

t.test("all is made in the order in which one needs the other", async (t) => {
  const difference = diff(PLAN, EMPTY_KERNEL, full);
  t.same(text(difference).slice(2), MADE);
  t.same(states(difference), [
    "link denim.1 missing",
    "address 10.42.1.0 on denim.1 missing",
    "neighbour 10.42.2.0 on denim.1 missing",
    "forwarding 02:00:00:00:00:02 on denim.1 missing",
    "10.42.2.0/24 missing",
  ]);
});

t.test("a link-local address that is wanted, and in place, is left in peace", async (t) => {
  const local = linkAddress("fe80::1/64");
  const other = linkAddress("fe80::2/64");
  const addresses = [local, other].map((item) => addressThere(item, { scope: "link" }));
  const difference = diff(
    [OURS, local],
    { ...there(), addresses, neighbours: [], forwarding: [] },
    full,
  );
  t.same(text(difference), []);
  t.same(states(difference), ["link denim.1 ok", "address fe80::1 on denim.1 ok"]);
});

t.test("what is there stays, and what is missing comes back", async (t) => {
  const plan = PLAN.filter(({ kind }) => kind !== "route");
  t.same(text(diff(plan, there(), full)), []);
  const without = there({ addresses: [], neighbours: [], forwarding: [] });
  for (const options of [full, addOnly]) {
    t.same(text(diff(plan, without, options)), MADE.slice(0, 3));
  }
});

t.test("what is another is replaced, and add-only leaves it", async (t) => {
  const plan = [
    ...[OURS, linkAddress("10.42.1.0/31"), neighbour("10.42.2.0", "02:00:00:00:00:03")],
    forwarding(MAC, "10.0.0.3"),
  ];
  t.same(text(diff(plan, there(), full)), [
    "ip address del 10.42.1.0/32 dev denim.1",
    "ip address add 10.42.1.0/31 dev denim.1",
    "ip neigh replace 10.42.2.0 lladdr 02:00:00:00:00:03 dev denim.1 nud permanent",
    "bridge fdb replace 02:00:00:00:00:02 dev denim.1 dst 10.0.0.3 self permanent",
  ]);
  const difference = diff(plan, there(), addOnly);
  t.same(text(difference), []);
  t.equal(states(difference).filter((line) => line.endsWith("different")).length, 3);
});

t.test("what nobody wants goes in the opposite order, and not when only adding", async (t) => {
  t.same(text(diff([OURS], there(), full)), [
    "bridge fdb del 02:00:00:00:00:02 dev denim.1 self",
    "ip neigh del 10.42.2.0 dev denim.1",
    "ip address del 10.42.1.0/32 dev denim.1",
  ]);
  const difference = diff([OURS], there(), addOnly);
  t.same(text(difference), []);
  t.equal(states(difference).filter((line) => line.endsWith("extra")).length, 3);
});

t.test("what goes with its link needs no removal of its own", async (t) => {
  t.same(text(diff([], there(), full)), ["ip link del denim.1"]);
});

t.test("a link that is made anew has all of it again in the same pass", async (t) => {
  const state = there({ links: [kernelLink(vxlan({ vni: 9 }))] });
  t.same(text(diff(PLAN, state, full)).slice(3), MADE);
  t.same(text(diff(PLAN, state, addOnly)), MADE.slice(3), "else it is kept, with what is on it");
});

t.test("what the kernel and the traffic make is nobody's to remove", async (t) => {
  const state = there({
    addresses: [
      addressThere(ADDRESS),
      addressThere(linkAddress("fe80::1/64"), { scope: "link" }),
      addressThere(linkAddress("fd00::9/64"), { flags: { ...PERMANENT, permanent: false } }),
    ],
    neighbours: [
      neighbourThere(NEIGHBOUR),
      neighbourThere(neighbour("10.42.3.0", MAC), { permanent: false }),
    ],
    forwarding: [
      entryThere(ENTRY),
      entryThere(forwarding("00:00:00:00:00:00", "10.0.0.9")),
      entryThere(forwarding("33:33:00:00:00:01", "10.0.0.9")),
      entryThere(forwarding("02:00:00:00:00:99", "10.0.0.9"), { permanent: false }),
    ],
  });
  t.same(text(diff([OURS, ADDRESS, NEIGHBOUR, ENTRY], state, full)), []);
});

t.test("but it gives way to what is wanted, at any time", async (t) => {
  const state = there({
    neighbours: [neighbourThere(NEIGHBOUR, { permanent: false })],
    forwarding: [entryThere(ENTRY, { permanent: false })],
  });
  t.same(text(diff([OURS, ADDRESS, NEIGHBOUR, ENTRY], state, addOnly)), [
    "ip neigh replace 10.42.2.0 lladdr 02:00:00:00:00:02 dev denim.1 nud permanent",
    "bridge fdb replace 02:00:00:00:00:02 dev denim.1 dst 10.0.0.2 self permanent",
  ]);
});

t.test("an entry with a port of its own, or to a nexthop object, is another", async (t) => {
  const { remote: _, ...nowhere } = entryThere(ENTRY);
  for (const entry of [entryThere(ENTRY, { plain: false }), nowhere]) {
    const difference = diff(
      [OURS, ADDRESS, NEIGHBOUR, ENTRY],
      there({ forwarding: [entry] }),
      full,
    );
    t.same(text(difference), [
      "bridge fdb replace 02:00:00:00:00:02 dev denim.1 dst 10.0.0.2 self permanent",
    ]);
  }
});

t.test("in a hold, what leads to a claimed subnet may follow its claim", async (t) => {
  const [a, b] = ["02:00:00:00:00:0a", "02:00:00:00:00:0b"];
  const plan = [
    ...[OURS, ADDRESS, neighbour("10.42.2.0", a), neighbour("10.42.3.0", b)],
    ...[forwarding(a, "10.0.0.22"), forwarding(b, "10.0.0.33")],
  ];
  const state = there({
    neighbours: [neighbourThere(NEIGHBOUR), neighbourThere(neighbour("10.42.3.0", MAC))],
    forwarding: [entryThere(forwarding(a, "10.0.0.2")), entryThere(forwarding(b, "10.0.0.3"))],
  });
  const claimed = [parsePrefix("10.42.2.0/24")];
  t.same(text(diff(plan, state, { ...addOnly, claimed })), [
    `ip neigh replace 10.42.2.0 lladdr ${a} dev denim.1 nud permanent`,
    `bridge fdb replace ${a} dev denim.1 dst 10.0.0.22 self permanent`,
  ]);
});

t.test("nothing is wanted on another's link, or for more than one station", async (t) => {
  const foreign = diff(PLAN, there({ links: [kernelLink(OURS, { alias: "mine" })] }), full);
  t.same(text(foreign), [MADE[3]]);
  t.equal(foreign.items.filter(({ state }) => state === "conflict").length, 4);
  const unfit = [neighbour("10.42.2.0", "ff:ff:ff:ff:ff:ff"), forwarding("nonsense", "10.0.0.2")];
  for (const item of unfit) {
    const difference = diff([OURS, item], EMPTY_KERNEL, full);
    t.match(difference.items.at(-1)?.why ?? "", /no MAC address of a single station/);
    t.equal(difference.changes.length, 1);
  }
  const twice = diff([OURS, ENTRY, forwarding(MAC, "10.0.0.9")], EMPTY_KERNEL, full);
  t.same(states(twice).slice(1).map((line) => line.split(" ").at(-1)), ["missing", "conflict"]);
});

t.test("add-only leaves everything that lasts as it was, whatever the plan", async (t) => {
  const mac = fc.constantFrom("02:00:00:00:00:02", "02:00:00:00:00:03");
  const address = fc.constantFrom("10.42.2.0", "10.42.3.0");
  const remote = fc.constantFrom("10.0.0.2", "10.0.0.3");
  const item = fc.oneof(
    fc.tuple(address, mac).map(([address, mac]) => neighbour(address, mac)),
    fc.tuple(mac, remote).map(([mac, remote]) => forwarding(mac, remote)),
  );
  fc.assert(fc.property(fc.array(item), (wanted) => {
    const { changes } = diff([OURS, ...wanted], there(), addOnly);
    return changes.every(({ kind }) => kind === "add");
  }));
  t.pass();
});

t.test("IPv6 is kept apart from IPv4", async (t) => {
  const six = neighbour("fd42:2::", MAC);
  const difference = diff([OURS, ADDRESS, NEIGHBOUR, ENTRY, six], there(), full);
  t.same(text(difference), [
    "ip neigh add fd42:2:: lladdr 02:00:00:00:00:02 dev denim.1 nud permanent",
  ]);
  t.equal(six.address.value, parseAddress("fd42:2::").value);
});
