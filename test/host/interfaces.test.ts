import t from "tap";
import {
  type ChoiceOptions,
  chooseInterface,
  type InterfaceWish,
} from "../../src/host/interfaces.ts";
import { equalAddress, formatAddress, parseAddress } from "../../src/ip/address.ts";
import { formatPrefix } from "../../src/ip/prefix.ts";
import { EMPTY_KERNEL, type KernelAddress, type KernelState } from "../../src/plan/kernel.ts";
import { kernelRoute } from "../support/routes.ts";

function address(
  linkIndex: number,
  text: string,
  options: Partial<KernelAddress["flags"]> & { scope?: KernelAddress["scope"] } = {},
): KernelAddress {
  const [base, length] = text.split("/");
  const { scope = "global", ...flags } = options;
  const none = { deprecated: false, temporary: false, permanent: true, tentative: false };
  const flagged = { ...none, ...flags };
  return { linkIndex, address: parseAddress(base!), length: Number(length), scope, flags: flagged };
}

const state: KernelState = {
  ...EMPTY_KERNEL,
  links: [
    { index: 1, name: "lo", up: true, mtu: 65536 },
    { index: 2, name: "eth0", up: true, mtu: 1500 },
    { index: 3, name: "eth1", up: true, mtu: 9000 },
    { index: 4, name: "dummy0", up: true, mtu: 1500 },
  ],
  addresses: [
    address(1, "127.0.0.1/8", { scope: "host" }),
    address(2, "192.168.7.20/24"),
    address(3, "10.0.0.1/24"),
    address(3, "10.0.1.1/24"),
    address(3, "fe80::1/64", { scope: "link" }),
    address(3, "fd00::99/64", { temporary: true }),
    address(3, "fd00::1/64", { permanent: false }),
  ],
  routes: [
    kernelRoute("0.0.0.0/0", "192.168.7.1", { device: "eth0", protocol: 3, metric: 100 }),
    kernelRoute("0.0.0.0/0", "10.0.0.254", { device: "eth1", protocol: 3, metric: 200 }),
    kernelRoute("10.0.0.0/24", undefined, { device: "eth1", protocol: 2 }),
    kernelRoute("10.0.1.0/24", undefined, { device: "eth1", protocol: 2 }),
    kernelRoute("172.20.0.0/16", "10.0.1.7", { device: "eth1", protocol: 4 }),
    kernelRoute("172.21.0.0/16", undefined, { device: "", protocol: 4, plain: false }),
    kernelRoute("::/0", "fe80::2", { device: "eth1", protocol: 9 }),
  ],
};

const FOUR: ChoiceOptions = { families: [4] };
const SIX: ChoiceOptions = { families: [6] };
const BOTH: ChoiceOptions = { families: [4, 6] };

function chosen(wish: InterfaceWish, options = FOUR, from = state): string {
  const { link, addresses } = chooseInterface(from, wish, options);
  const texts = addresses.map(({ address, publicIp }) =>
    equalAddress(address, publicIp)
      ? formatAddress(address)
      : `${formatAddress(address)} as ${formatAddress(publicIp)}`
  );
  return [link.name, ...texts].join(" ");
}

const parsed = (text: string) => [parseAddress(text)];

t.test("nothing said: the interface of the best default route", async (t) => {
  t.equal(chosen({}), "eth0 192.168.7.20");
  t.equal(chosen({}, SIX), "eth1 fd00::1");
});

t.test("an interface is named, or one of its addresses", async (t) => {
  t.equal(chosen({ iface: "eth1" }), "eth1 10.0.0.1");
  t.equal(chosen({ iface: "10.0.1.1" }), "eth1 10.0.1.1");
});

t.test("a pattern is tried on addresses first, and then on names", async (t) => {
  t.equal(chosen({ ifaceRegex: /^eth/ }), "eth0 192.168.7.20");
  t.equal(chosen({ ifaceRegex: /^10[.]0[.]/ }), "eth1 10.0.0.1");
  t.equal(chosen({ ifaceRegex: /0/ }), "eth0 192.168.7.20");
  t.equal(chosen({ ifaceRegex: /./ }), "eth0 192.168.7.20", "never the loopback");
  t.equal(chosen({ ifaceRegex: /^fd00/ }, BOTH), "eth1 10.0.0.1 fd00::1");
});

t.test("the public address names the interface that has it", async (t) => {
  t.equal(chosen({ publicIps: parsed("10.0.1.1") }), "eth1 10.0.1.1");
  t.equal(chosen({ publicIps: parsed("10.0.1.1"), iface: "eth1" }), "eth1 10.0.1.1");
});

t.test("a public address that no link has is NAT's: other rules choose", async (t) => {
  const publicIps = parsed("198.51.100.7");
  t.equal(chosen({ publicIps }), "eth0 192.168.7.20 as 198.51.100.7");
  t.equal(chosen({ publicIps, iface: "eth1" }), "eth1 10.0.0.1 as 198.51.100.7");
  t.equal(
    chosen({ publicIps: [...publicIps, ...parsed("2001:db8::7")], iface: "eth1" }, BOTH),
    "eth1 10.0.0.1 as 198.51.100.7 fd00::1 as 2001:db8::7",
  );
});

t.test("what reaches an address wins over the default, by the longest route", async (t) => {
  t.equal(chosen({ reach: parseAddress("10.0.0.9") }), "eth1 10.0.0.1");
  t.equal(chosen({ reach: parseAddress("8.8.8.8") }), "eth0 192.168.7.20");
  const canReach = parseAddress("10.0.1.9");
  t.equal(chosen({ canReach, reach: parseAddress("8.8.8.8") }), "eth1 10.0.1.1", "as it was said");
});

t.test("a server without a route leaves the choice to the default, but to who knows better", async (t) => {
  const reach = parseAddress("fd99::1");
  const noSix = {
    ...state,
    routes: state.routes.filter((route) => route.destination.family === 4),
  };
  t.equal(chosen({ reach }, FOUR, noSix), "eth0 192.168.7.20");
  const former = { link: "eth1", addresses: parsed("10.0.0.1") };
  t.throws(() => chosen({ reach }, { ...FOUR, former }, noSix), { code: "INTERFACE_NOT_FOUND" });
});

t.test("the address is the one that the neighbour sees", async (t) => {
  t.equal(chosen({ reach: parseAddress("10.0.1.9") }), "eth1 10.0.1.1");
  t.equal(chosen({ reach: parseAddress("172.20.3.4") }), "eth1 10.0.1.1");
});

t.test("temporary and link-local addresses come after what lasts", async (t) => {
  t.equal(chosen({ iface: "eth1" }, SIX), "eth1 fd00::1");
});

t.test("a deprecated address is better than none", async (t) => {
  const old = (...others: KernelAddress[]) => ({
    ...state,
    addresses: [address(3, "fd00::5/64", { deprecated: true }), ...others],
  });
  t.equal(chosen({ iface: "eth1" }, SIX, old(address(3, "fd00::7/64"))), "eth1 fd00::7");
  t.equal(chosen({ iface: "eth1" }, SIX, old()), "eth1 fd00::5");
});

const linkLocal = {
  ...state,
  addresses: state.addresses.filter(({ address, scope }) =>
    address.family === 4 || scope === "link"
  ),
};

t.test("a link-local address is a next hop, and nothing to connect to", async (t) => {
  t.equal(chosen({ iface: "eth1" }, BOTH, linkLocal), "eth1 10.0.0.1 fe80::1");
  t.throws(() => chosen({ iface: "eth1" }, SIX, linkLocal), {
    code: "INTERFACE_NOT_FOUND",
    why: "it has no usable IPv6 address",
    fix: "give a link an IPv6 address first; none has one that peers could reach",
  });
});

t.test("of two families, the interface that has both", async (t) => {
  t.equal(chosen({}, BOTH), "eth1 10.0.0.1 fd00::1", "the best for IPv4 has no IPv6");
  t.throws(() => chosen({ iface: "eth0" }, BOTH), {
    message: 'Cannot use the interface "eth0"',
    why: "it has no usable IPv6 address",
    fix: "name one with --iface: eth1 (10.0.0.1, fd00::1)",
  });
});

t.test("an address that is in use stays while it is there", async (t) => {
  const vip = { ...state, addresses: [address(3, "10.0.0.200/32"), ...state.addresses] };
  t.equal(
    chosen({ iface: "eth1" }, FOUR, vip),
    "eth1 10.0.0.1",
    "one that may be passed on comes second",
  );
  const former = { link: "eth1", addresses: parsed("10.0.1.1") };
  t.equal(chosen({ iface: "eth1" }, { ...FOUR, former }, vip), "eth1 10.0.1.1");
  const gone = { link: "eth1", addresses: parsed("10.0.7.7") };
  t.equal(chosen({ iface: "eth1" }, { ...FOUR, former: gone }), "eth1 10.0.0.1");
  const other = { link: "eth0", addresses: parsed("10.0.1.1") };
  t.equal(chosen({ iface: "eth1" }, { ...FOUR, former: other }), "eth1 10.0.0.1");
});

t.test("what is near is what the link's addresses and routes say", async (t) => {
  const near = (from: KernelState) =>
    chooseInterface(from, { iface: "eth1" }, FOUR).onLink.map(formatPrefix);
  const both = ["10.0.0.0/24", "10.0.1.0/24", "fd00::/64", "fe80::/64"];
  t.same(near(state), both);
  t.same(near({ ...state, routes: [] }), both, "also while it is down");
  const single = kernelRoute("10.9.9.1/32", undefined, { device: "eth1", protocol: 3 });
  t.same(near({ ...state, routes: [single] }), [
    ...both.slice(0, 2),
    "10.9.9.1/32",
    ...both.slice(2),
  ]);
});

t.test("it says which rule has chosen", async (t) => {
  const why = (wish: InterfaceWish) => chooseInterface(state, wish, FOUR).why;
  t.same(
    [
      why({ iface: "eth1" }),
      why({ iface: "10.0.1.1" }),
      why({ ifaceRegex: /^eth/ }),
      why({ canReach: parseAddress("10.0.0.9") }),
      why({ publicIps: parsed("10.0.1.1") }),
      why({ reach: parseAddress("10.0.0.9") }),
      why({}),
    ],
    [
      "by its name, --iface eth1",
      "by its address, --iface 10.0.1.1",
      "by --iface-regex ^eth",
      "by --iface-can-reach 10.0.0.9",
      "by its public address 10.0.1.1",
      "as it reaches the server 10.0.0.9",
      "by the default route",
    ],
  );
});

t.test("an error names what there is to choose from", async (t) => {
  t.throws(() => chosen({ iface: "eth7" }), {
    code: "INTERFACE_NOT_FOUND",
    message: 'Cannot find the interface "eth7"',
    why: "this host has no link of that name",
    fix: "name one with --iface: eth0 (192.168.7.20), eth1 (10.0.0.1)",
  });
  t.throws(() => chosen({ iface: "10.9.9.9" }), { code: "INTERFACE_NOT_FOUND" });
  t.throws(() => chosen({ iface: "dummy0" }), {
    code: "INTERFACE_NOT_FOUND",
    message: 'Cannot use the interface "dummy0"',
    why: "it has no usable IPv4 address",
  });
  t.throws(() => chosen({ ifaceRegex: /^dummy/ }), {
    code: "INTERFACE_NOT_FOUND",
    message: "Cannot find an interface for --iface-regex ^dummy",
    why: "it matches neither an address nor the name of a link that peers could reach",
  });
  t.throws(() => chosen({}, FOUR, { ...state, routes: [] }), {
    code: "INTERFACE_NOT_FOUND",
    message: "Cannot tell which interface the nodes are reached through",
    why: "there is no default route for IPv4",
  });
  const bare = { ...state, routes: [], addresses: [] };
  t.throws(() => chosen({ canReach: parseAddress("10.0.0.9") }, FOUR, bare), {
    code: "INTERFACE_NOT_FOUND",
    message: "Cannot find the interface that reaches 10.0.0.9",
    why: "no route of the main table leads there",
    fix: "give a link an IPv4 address first; none has one that peers could reach",
  });
});
