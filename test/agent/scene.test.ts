import t from "tap";
import { sceneOf } from "../../src/agent/scene.ts";
import type { Host } from "../../src/backend/backend.ts";
import { parseAddress } from "../../src/ip/address.ts";
import { formatPrefix } from "../../src/ip/prefix.ts";
import { State } from "../../src/lease/state.ts";
import { attributes, joiner, Ledger } from "../support/ledger.ts";

const host: Host = {
  link: { name: "eth0", index: 2, mtu: 1500 },
  address: parseAddress("192.168.0.1"),
  addressLength: 24,
  publicIp: parseAddress("192.168.0.1"),
  secret: new Uint8Array(32),
};
const own = { node: "id1", subnets: ["10.5.2.0/24"], publicIp: host.publicIp, data: null };

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

t.test("a node of another backend is no peer", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.join(2, { attributes: { ...attributes(2), backendType: "vxlan" } });
  t.same(sceneOf(ledger.state, host, own, "host-gw")!.peers.map(({ node }) => node), ["host0"]);
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

t.test("without a network there is no scene", async (t) => {
  t.equal(sceneOf(new State(), host, own, "host-gw"), undefined);
});
