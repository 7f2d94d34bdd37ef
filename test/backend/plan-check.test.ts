import t from "tap";
import type { Plan } from "../../src/backend/backend.ts";
import { checkPlan } from "../../src/backend/plan-check.ts";
import { DenimError } from "../../src/base/errors.ts";
import { parseAddress } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { peerAt } from "../support/hosts.ts";
import { route } from "../support/routes.ts";

const network = parsePrefix("10.42.0.0/16");
const scene = {
  network,
  own: peerAt("a", "10.0.0.1", "10.42.1.0/24", "fd42:0:0:1::/64"),
  peers: [peerAt("b", "10.0.0.2", "10.42.2.0/24", "fd42:0:0:2::/64")],
};

const mac = "02:00:00:00:00:01";
const link = {
  ...{ kind: "link", name: "denim.1", network, mac, mtu: 1450 },
  tunnel: {
    ...{ kind: "vxlan", vni: 1, port: 8472, underlay: "eth0", learning: false },
    local: parseAddress("10.0.0.1"),
  },
};
const device = "denim.1";
const run = {
  ...{ name: "AddCommand", argv: ["ip", "route", "add"], env: { SUBNET: "10.42.2.0/24" } },
  ...{ input: "", timeoutMs: 30_000 },
};
const hook = { kind: "hook", destination: parsePrefix("10.42.2.0/24"), add: run };

function whyNot(plan: unknown): string {
  try {
    checkPlan(plan, scene);
    return "";
  } catch (error) {
    return (error as DenimError).why ?? "";
  }
}

t.test("a plan of every kind of thing is one", async (t) => {
  const plan = [
    route("10.42.2.0/24", "10.0.0.2"),
    route("fd42:0:0:2::/64"),
    link,
    { kind: "address", device, address: parseAddress("10.42.1.0"), length: 32 },
    { kind: "neighbour", device, address: parseAddress("10.42.2.0"), mac },
    { kind: "forwarding", device, mac, remote: parseAddress("10.0.0.2") },
    hook,
    { kind: "hook", destination: parsePrefix("10.42.1.0/24"), own: true, remove: run },
    { kind: "left-out", destination: parsePrefix("10.42.3.0/24"), why: "nobody knows the way" },
  ];
  t.equal(checkPlan(plan, scene), plan as unknown as Plan);
  t.same(checkPlan([], scene), []);
});

t.test("what is no plan is refused, and the item is named", async (t) => {
  t.equal(whyNot({}), "it is {}, and no array");
  t.equal(whyNot(undefined), "it is undefined, and no array");
  t.match(whyNot([null]), /^plan\[0\] is null: its kind is none of route, link/);
  t.match(whyNot([route("10.42.2.0/24"), { kind: "toString" }]), /^plan\[1\] is .*kind is none of/);
  t.match(whyNot([{ kind: "route", device: "eth0" }]), /is a route whose destination is undefined/);
  t.match(whyNot([{ ...route("10.42.2.0/24"), via: "10.0.0.2" }]), /whose via is "10\.0\.0\.2"/);
  t.match(whyNot([{ ...route("10.42.2.0/24"), vai: 1 }]), /with "vai", which it cannot have/);
  t.match(whyNot([{ ...route("10.42.2.0/24"), metric: 7 }]), /whose metric is 7/);
  t.match(whyNot([route("10.42.2.0/24", "10.0.0.2", "eth0 dev x")]), /its device is no name/);
  const uneven = { family: 4, base: 170_524_161n, length: 24 };
  t.match(whyNot([{ ...route("10.42.2.0/24"), destination: uneven }]), /host bits are not zero/);
  t.match(whyNot([{ ...link, mac: "02:00:00:00:00:0A" }]), /whose mac is .*lower case/);
  t.match(whyNot([{ ...link, mac: "33:33:00:00:00:01" }]), /no MAC address of a single station/);
  t.match(whyNot([{ ...link, tunnel: { ...link.tunnel, vni: 2 ** 24 } }]), /whose vni is 16777216/);
  t.match(whyNot([{ ...link, tunnel: undefined }]), /whose tunnel is undefined/);
});

t.test("what is not Denim's to make is refused", async (t) => {
  t.match(whyNot([{ ...link, name: "eth0" }]), /whose name is "eth0", no name of a link of Denim/);
  t.match(
    whyNot([{ ...link, network: parsePrefix("10.43.0.0/16") }]),
    /link denim\.1: its network is 10\.43\.0\.0\/16, and the scene's 10\.42\.0\.0\/16/,
  );
  t.match(whyNot([route("0.0.0.0/0", "10.0.0.9")]), /^plan\[0\], 0\.0\.0\.0\/0: it lies outside/);
  t.match(whyNot([route("192.168.0.0/24")]), /it lies outside of the network/);
  t.match(whyNot([route("fd42:0:0:3::/64")]), /is no node's subnet/);
  const neighbour = { kind: "neighbour", device: "eth0", address: parseAddress("10.0.0.9"), mac };
  t.match(whyNot([neighbour]), /the plan has no link eth0/);
  t.match(
    whyNot([{ ...route("10.42.2.0/24"), unreachable: true }]),
    /an unreachable one has no gateway and no link/,
  );
});

t.test("what is to be run has words, an environment and a time limit", async (t) => {
  const added = (part: object) => whyNot([{ ...hook, add: { ...run, ...part } }]);
  t.match(
    added({ argv: "ip route add" }),
    /is a hook whose add is .*whose argv is .*no list of wo/,
  );
  t.match(added({ argv: [] }), /no list that begins with a program/);
  t.match(added({ argv: ["ip", "a\0b"] }), /no list of words/);
  t.match(added({ env: { "LD PRELOAD": "x" } }), /"LD PRELOAD" cannot be in an environment/);
  t.match(added({ timeoutMs: Infinity }), /whose timeoutMs is null, no whole number from 1/);
  t.match(added({ shell: true }), /with "shell", which it cannot have/);
  t.equal(whyNot([{ ...hook, add: undefined }]), "plan[0], hook of 10.42.2.0/24: it runs nothing");
  t.match(whyNot([{ ...hook, destination: parsePrefix("192.168.0.0/24") }]), /it lies outside/);
  const own = { ...hook, own: true, destination: parsePrefix("10.42.1.0/24") };
  t.match(whyNot([own, own]), /plan\[1\], hook of own: plan\[0\] is that already/);
});

t.test("everything is there once", async (t) => {
  t.equal(
    whyNot([route("10.42.2.0/24", "10.0.0.2"), route("10.42.2.0/24", "10.0.0.3")]),
    "plan[1], 10.42.2.0/24: plan[0] is that already",
  );
});
