import t from "tap";
import { hostGw } from "../../plugins/host-gw/mod.ts";
import type { Peer } from "../../src/backend/backend.ts";
import { splitPlan } from "../../src/backend/scene.ts";
import { parseAddress } from "../../src/ip/address.ts";
import { formatPrefix, parsePrefix } from "../../src/ip/prefix.ts";
import { diff } from "../../src/plan/diff.ts";
import { formatChange } from "../../src/plan/text.ts";
import { hostAt, peerAt } from "../support/hosts.ts";
import { kernelWith } from "../support/routes.ts";

const host = hostAt("10.0.0.1/24");
const dual = hostAt("10.0.0.1/24", "fd00::1/64");
const own = peerAt("a", "10.0.0.1", "10.42.1.0/24");

const planOf = async (peers: Peer<null>[], on = host) =>
  splitPlan(
    await hostGw.plan({ network: parsePrefix("10.42.0.0/16"), host: on, config: null, own, peers }),
  );

/** What an empty kernel would be told. */
async function lines(peers: Peer<null>[], on = host): Promise<string[]> {
  const { wanted } = await planOf(peers, on);
  const networks = [parsePrefix("10.42.0.0/16"), parsePrefix("fd42::/48")];
  return diff(wanted, kernelWith([]), { networks, mode: "full" }).changes.flatMap(formatChange);
}

/** Which subnets get no route, and why. */
async function leftOut(peers: Peer<null>[], on = host): Promise<string[]> {
  const { leftOut } = await planOf(peers, on);
  return leftOut.map(({ destination, why }) => `${formatPrefix(destination)}: ${why}`);
}

t.test("each peer's subnet is routed by that peer's address", async (t) => {
  const peers = [
    peerAt("b", "10.0.0.2", "10.42.2.0/24"),
    peerAt("c", "10.0.0.3", "10.42.3.0/24"),
  ];
  t.same(await lines(peers), [
    "ip route add 10.42.2.0/24 via 10.0.0.2 dev eth0 proto 68",
    "ip route add 10.42.3.0/24 via 10.0.0.3 dev eth0 proto 68",
  ]);
  t.same(await leftOut(peers), []);
});

t.test("alone there is nothing to do: the bridge makes the own subnet's route", async (t) => {
  t.same(await lines([]), []);
});

t.test("a peer that is not on the link is left out, and the others go on", async (t) => {
  const peers = [
    peerAt("b", "192.0.2.9", "10.42.2.0/24"),
    peerAt("c", "10.0.0.3", "10.42.3.0/24"),
  ];
  t.same(await lines(peers), ["ip route add 10.42.3.0/24 via 10.0.0.3 dev eth0 proto 68"]);
  t.same(await leftOut(peers), [
    "10.42.2.0/24: 192.0.2.9 is not on the link eth0 (10.0.0.0/24): host-gw needs one flat " +
    "network; vxlan crosses routers",
  ]);
});

t.test("each family is routed by an address of its own", async (t) => {
  const both = peerAt("b", "10.0.0.2,fd00::2", "10.42.2.0/24", "fd42:0:0:2::/64");
  t.same(await lines([both], dual), [
    "ip route add 10.42.2.0/24 via 10.0.0.2 dev eth0 proto 68",
    "ip -6 route add fd42:0:0:2::/64 via fd00::2 dev eth0 proto 68",
  ]);
  const six = peerAt("b", "fd00::2", "fd42:0:0:2::/64");
  t.same(await lines([six], hostAt("fd00::1/64")), [
    "ip -6 route add fd42:0:0:2::/64 via fd00::2 dev eth0 proto 68",
  ]);
});

t.test("what one family lacks does not cost the other", async (t) => {
  const four = peerAt("b", "10.0.0.2", "10.42.2.0/24", "fd42:0:0:2::/64");
  t.same(await lines([four], dual), ["ip route add 10.42.2.0/24 via 10.0.0.2 dev eth0 proto 68"]);
  t.same(await leftOut([four], dual), [
    "fd42:0:0:2::/64: b has no IPv6 address that it could be reached at",
  ]);
  const far = peerAt("b", "10.0.0.2,fd99::2", "10.42.2.0/24", "fd42:0:0:2::/64");
  t.match((await leftOut([far], dual)).join(), /fd99::2 is not on the link eth0 \(fd00::\/64\)/);
});

t.test("a link-local next hop is as good as another", async (t) => {
  const peers = [peerAt("b", "10.0.0.2,fe80::2", "fd42:0:0:2::/64")];
  t.same(await lines(peers, hostAt("10.0.0.1/24", "fe80::1/64")), [
    "ip -6 route add fd42:0:0:2::/64 via fe80::2 dev eth0 proto 68",
  ]);
});

t.test("containers get the link's whole MTU, and peers are told nothing", async (t) => {
  t.same(await hostGw.publish({ ...host, link: { ...host.link, mtu: 9000 } }, null), {
    data: null,
    mtu: 9000,
  });
});

t.test("behind NAT it does not work, and says so", async (t) => {
  const [first] = host.addresses;
  const behindNat = {
    ...host,
    addresses: [{ ...first!, publicIp: parseAddress("198.51.100.7") }],
  };
  t.throws(() => hostGw.publish(behindNat, null), {
    code: "CONFIG_INVALID",
    why: "peers are told 198.51.100.7, but eth0 has 10.0.0.1: a next hop must be an address of " +
      "the link itself",
  });
});
