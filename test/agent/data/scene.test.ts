import t from "tap";
import { sceneOf } from "../../../src/agent/data/scene.ts";
import { formatAddress, parseAddress } from "../../../src/ip/address.ts";
import { formatPrefix } from "../../../src/ip/prefix.ts";
import { State } from "../../../src/lease/state.ts";
import { hostAt } from "../../support/hosts.ts";
import { attributes, joiner, Ledger } from "../../support/ledger.ts";

const host = hostAt("192.168.0.1/24");
const publicIps = [parseAddress("192.168.0.1")];
const own = { node: "id1", subnets: ["10.5.2.0/24"], publicIps, data: null };

const backend = { Backend: { Type: "host-gw", DirectRouting: true } };
const CONFIG = JSON.stringify({ Network: "10.5.0.0/16", ...backend });

t.test("a scene has the own lease, the backend's part of the config, and all peers", async (t) => {
  const ledger = Ledger.open(CONFIG);
  for (const n of [1, 2]) ledger.join(n);
  const scene = sceneOf(ledger.state, host, own, "host-gw")!;
  t.same(scene.config, backend.Backend);
  t.same(scene.own.subnets.map(formatPrefix), ["10.5.2.0/24"]);
  t.same(scene.peers.map(({ node }) => node).sort(), ["host0", "host2"]);
  t.same(scene.peers.find(({ node }) => node === "host2")!.subnets.map(formatPrefix), [
    "10.5.3.0/24",
  ]);
  t.same(scene.unread, []);
});

t.test("a node of another backend is no peer: it is left out, and says why", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.join(2, { attributes: { ...attributes(2), backendType: "vxlan" } });
  const { peers, leftOut } = sceneOf(ledger.state, host, own, "host-gw")!;
  t.same(peers.map(({ node }) => node), ["host0"]);
  t.same(leftOut.map(({ destination, why }) => `${formatPrefix(destination)}: ${why}`), [
    "10.5.3.0/24: host2 has the backend vxlan, and this host host-gw: they meet when both follow " +
    "the same network config",
  ]);
});

t.test("a record that cannot be read costs that peer, and is named", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.join(2, { attributes: { ...attributes(2), publicIp: "somewhere" } });
  ledger.join(3, { attributes: { ...attributes(3), backendData: "{" } });
  ledger.join(4, joiner(4));
  const scene = sceneOf(ledger.state, host, own, "host-gw")!;
  t.same(scene.peers.map(({ node }) => node).sort(), ["host0", "host4"]);
  t.same(scene.unread.map(({ node }) => node), ["host2", "host3"]);
  t.match(scene.unread[0]!.why, /somewhere/);
});

t.test("peers that nobody hears are named where the network config cares", async (t) => {
  const silentOf = (ledger: Ledger) =>
    sceneOf(ledger.state, host, own, "host-gw")!.silent.map(formatPrefix);
  for (const silentPeer of ["keep", "unreachable"]) {
    const ledger = Ledger.open(JSON.stringify({ ...JSON.parse(CONFIG), SilentPeer: silentPeer }));
    for (const n of [1, 2, 3]) ledger.join(n);
    ledger.do({ kind: "node.silent", node: "id2", silent: true });
    t.same(silentOf(ledger), silentPeer === "keep" ? [] : ["10.5.3.0/24"]);
    ledger.do({ kind: "node.silent", node: "id2", silent: false });
    t.same(silentOf(ledger), []);
  }
});

t.test("with two families a peer has two addresses, and both of its subnets fall silent", async (t) => {
  const six = { EnableIPv6: true, IPv6Network: "fd42::/48", SilentPeer: "unreachable" };
  const ledger = Ledger.open(JSON.stringify({ ...JSON.parse(CONFIG), ...six }));
  for (const n of [1, 2]) {
    ledger.join(n, { attributes: { ...attributes(n), publicIpv6: `2001:db8::${n}` } });
  }
  ledger.do({ kind: "node.silent", node: "id2", silent: true });
  const scene = sceneOf(ledger.state, host, own, "host-gw")!;
  const peer = scene.peers.find(({ node }) => node === "host2")!;
  t.same(peer.publicIps.map(formatAddress), ["192.168.0.2", "2001:db8::2"]);
  t.same(scene.silent.map(formatPrefix), ["10.5.3.0/24", "fd42:0:0:3::/64"]);
});

t.test("without a network there is no scene", async (t) => {
  t.equal(sceneOf(new State(), host, own, "host-gw"), undefined);
});
