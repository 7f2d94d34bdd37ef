import t from "tap";
import { formatAddress, parseAddress } from "../../src/ip/address.ts";
import { chooseInterface, type InterfaceWish } from "../../src/host/interfaces.ts";
import type { KernelAddress, KernelState } from "../../src/plan/kernel.ts";
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

function chosen(wish: InterfaceWish): string {
  const { link, address, addressLength, publicIp } = chooseInterface(state, wish);
  return `${link.name} ${formatAddress(address)}/${addressLength} ${formatAddress(publicIp)}`;
}

t.test("nothing said: the interface of the best default route", async (t) => {
  t.equal(chosen({}), "eth0 192.168.7.20/24 192.168.7.20");
});

t.test("an interface is named, or one of its addresses", async (t) => {
  t.equal(chosen({ iface: "eth1" }), "eth1 10.0.0.1/24 10.0.0.1");
  t.equal(chosen({ iface: "10.0.1.1" }), "eth1 10.0.1.1/24 10.0.1.1");
});

t.test("the public address names the interface that has it", async (t) => {
  const publicIp = parseAddress("10.0.1.1");
  t.equal(chosen({ publicIp }), "eth1 10.0.1.1/24 10.0.1.1");
});

t.test("a public address that no link has is NAT's: other rules choose", async (t) => {
  const publicIp = parseAddress("198.51.100.7");
  t.equal(chosen({ publicIp }), "eth0 192.168.7.20/24 198.51.100.7");
  t.equal(chosen({ publicIp, iface: "eth1" }), "eth1 10.0.0.1/24 198.51.100.7");
});

t.test("what reaches an address wins over the default, by the longest route", async (t) => {
  t.equal(chosen({ reach: parseAddress("10.0.0.9") }), "eth1 10.0.0.1/24 10.0.0.1");
  t.equal(chosen({ reach: parseAddress("8.8.8.8") }), "eth0 192.168.7.20/24 192.168.7.20");
});

t.test("the address is the one that the neighbour sees", async (t) => {
  t.equal(chosen({ reach: parseAddress("10.0.1.9") }), "eth1 10.0.1.1/24 10.0.1.1");
  t.equal(chosen({ reach: parseAddress("172.20.3.4") }), "eth1 10.0.1.1/24 10.0.1.1");
});

t.test("temporary and link-local addresses come after what lasts", async (t) => {
  t.equal(chosen({ family: 6 }), "eth1 fd00::1/64 fd00::1");
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
  t.throws(() => chooseInterface({ ...state, routes: [] }, {}), {
    code: "INTERFACE_NOT_FOUND",
    message: "Cannot tell which interface the nodes are reached through",
    why: "there is no default route for IPv4",
  });
  const bare = { ...state, routes: [], addresses: [] };
  t.throws(() => chooseInterface(bare, { reach: parseAddress("10.0.0.9") }), {
    code: "INTERFACE_NOT_FOUND",
    message: "Cannot find the interface that reaches 10.0.0.9",
    why: "no route of the main table leads there",
    fix: "give a link an IPv4 address first; none has one that peers could reach",
  });
});
