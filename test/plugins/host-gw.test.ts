import t from "tap";
import { hostGw } from "../../plugins/host-gw/mod.ts";
import type { Host, Peer } from "../../src/backend/backend.ts";
import { parseAddress } from "../../src/ip/address.ts";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { diff } from "../../src/plan/diff.ts";
import { formatChange } from "../../src/plan/text.ts";

const host: Host = {
  link: { name: "eth0", index: 2, mtu: 1500 },
  address: parseAddress("10.0.0.1"),
  addressLength: 24,
  publicIp: parseAddress("10.0.0.1"),
  secret: new Uint8Array(32),
};

function peer(node: string, publicIp: string, ...subnets: string[]): Peer<null> {
  return { node, publicIp: parseAddress(publicIp), subnets: subnets.map(parsePrefix), data: null };
}

const own = peer("a", "10.0.0.1", "10.42.1.0/24");

/** What an empty kernel would be told. */
async function lines(...peers: Peer<null>[]): Promise<string[]> {
  const wanted = await hostGw.plan({ host, config: null, own, peers });
  const networks = [parsePrefix("10.42.0.0/16"), parsePrefix("fd42::/48")];
  return diff(wanted, [], { networks, mode: "full" }).changes.flatMap(formatChange);
}

t.test("each peer's subnet is routed by that peer's address", async (t) => {
  t.same(
    await lines(peer("b", "10.0.0.2", "10.42.2.0/24"), peer("c", "10.0.0.3", "10.42.3.0/24")),
    [
      "ip route add 10.42.2.0/24 via 10.0.0.2 dev eth0 proto 68",
      "ip route add 10.42.3.0/24 via 10.0.0.3 dev eth0 proto 68",
    ],
  );
});

t.test("alone there is nothing to do: the bridge makes the own subnet's route", async (t) => {
  t.same(await lines(), []);
});

t.test("a peer that is not on the link is still wanted, and never forced", async (t) => {
  t.same(await lines(peer("b", "192.0.2.2", "10.42.2.0/24")), [
    "ip route add 10.42.2.0/24 via 192.0.2.2 dev eth0 proto 68",
  ]);
});

t.test("a subnet is routed by an address of its own family", async (t) => {
  t.same(await lines(peer("b", "10.0.0.2", "10.42.2.0/24", "fd42:0:0:2::/64")), [
    "ip route add 10.42.2.0/24 via 10.0.0.2 dev eth0 proto 68",
  ]);
  t.same(await lines(peer("b", "fd00::2", "10.42.2.0/24", "fd42:0:0:2::/64")), [
    "ip -6 route add fd42:0:0:2::/64 via fd00::2 dev eth0 proto 68",
  ]);
});

t.test("containers get the link's whole MTU, and peers are told nothing", async (t) => {
  t.same(await hostGw.publish({ ...host, link: { ...host.link, mtu: 9000 } }, null), {
    data: null,
    mtu: 9000,
  });
});

t.test("behind NAT it does not work, and says so", async (t) => {
  const behindNat = { ...host, publicIp: parseAddress("198.51.100.7") };
  t.throws(() => hostGw.publish(behindNat, null), {
    code: "CONFIG_INVALID",
    why: "peers are told 198.51.100.7, but eth0 has 10.0.0.1: a next hop must be an address of " +
      "the link itself",
  });
});
