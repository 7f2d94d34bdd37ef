/** The state as the keys that flannel has in etcd. */
import t from "tap";
import { leaseValue, project, readPrefix, subnetName } from "../../src/etcd/projection.ts";
import { type EtcdFile, type EtcdNode, findNode } from "../../src/etcd/tree.ts";
import { State } from "../../src/lease/state.ts";
import { attributes, DAY_MS, initCommand, joiner, Ledger, NETWORK } from "../support/ledger.ts";

const PREFIX = "/kube-centos/network";

function twoHosts(): Ledger {
  const ledger = Ledger.open();
  ledger.do({ kind: "node.join", tokenId: "open", node: joiner(1) });
  return ledger;
}

function keysBelow(node: EtcdNode): string[] {
  const below = node.kind === "directory" ? node.nodes.flatMap(keysBelow) : [];
  return [node.key, ...below];
}

function fileAt({ state }: { readonly state: State }, path: string): EtcdFile {
  const found = findNode(project(state, PREFIX), `${PREFIX}/${path}`);
  if (found.kind === "found" && found.node.kind === "file") return found.node;
  throw new Error(`${path} is ${found.kind}`);
}

t.test("there is a config, and a key for each lease", async (t) => {
  t.same(keysBelow(project(twoHosts().state, PREFIX)), [
    ...["/", "/kube-centos", "/kube-centos/network", "/kube-centos/network/config"],
    "/kube-centos/network/subnets",
    "/kube-centos/network/subnets/10.5.1.0-24",
    "/kube-centos/network/subnets/10.5.2.0-24",
  ]);
});

t.test("the config is what was typed", async (t) => {
  const { value, leftMs } = fileAt(twoHosts(), "config");
  t.same([value, leftMs], [NETWORK, undefined]);
});

t.test("a lease says its revisions and what is left of it", async (t) => {
  const ledger = twoHosts();
  const { createdIndex } = fileAt(ledger, "subnets/10.5.2.0-24");
  ledger.do({ kind: "tick" }, 10_000);
  const moved = { ...attributes(1), publicIp: "192.168.9.9" };
  const own = { node: "id1", subnets: ["10.5.2.0/24"] };
  ledger.do({ kind: "lease.renew", ...own, attributes: moved });
  const { key: _, ...file } = fileAt(ledger, "subnets/10.5.2.0-24");
  t.same(file, {
    kind: "file",
    value: '{"PublicIP":"192.168.9.9","BackendType":"host-gw"}',
    createdIndex,
    modifiedIndex: ledger.index,
    leftMs: DAY_MS,
  });
  t.ok(createdIndex < ledger.index);
  t.equal(fileAt(ledger, "subnets/10.5.1.0-24").leftMs, DAY_MS - 10_000);
});

t.test("an agent, which has no lease clock, says no end", async (t) => {
  const { state } = twoHosts();
  const copy = State.restore(state.records("revisioned"), state);
  t.equal(fileAt({ state: copy }, "subnets/10.5.2.0-24").leftMs, undefined);
});

t.test("nobody's lease, nobody's key; no network, no keys at all", async (t) => {
  const ledger = twoHosts();
  ledger.do({ kind: "lease.release", node: "id1", subnets: ["10.5.2.0/24"] });
  const keys = keysBelow(project(ledger.state, PREFIX));
  t.same(keys.slice(4), [`${PREFIX}/subnets`, `${PREFIX}/subnets/10.5.1.0-24`]);
  t.same(keysBelow(project(new State(), PREFIX)), ["/"]);
});

t.test("a network of both families has both in its keys and values", async (t) => {
  const ledger = new Ledger();
  const config = JSON.stringify({
    Network: "10.5.0.0/16",
    EnableIPv6: true,
    IPv6Network: "fd00:5::/48",
    Backend: { Type: "host-gw" },
  });
  ledger.do(initCommand(config, { attributes: { ...attributes(0), publicIpv6: "fd00::7" } }));
  t.equal(
    fileAt(ledger, "subnets/10.5.1.0-24&fd00:5:0:1::-64").value,
    '{"PublicIP":"192.168.0.0","PublicIPv6":"fd00::7","BackendType":"host-gw"}',
  );
});

t.test("what a backend has published goes along, byte for byte", async (t) => {
  const body = { node: "id1", subnets: ["10.5.2.0/24"], publicIp: "192.0.2.1" };
  const backendData = '{"VNI": 1, "VtepMAC":"22:57:84:33:8b:e1"}';
  t.equal(
    leaseValue({ ...body, backendType: "vxlan", backendData }),
    `{"PublicIP":"192.0.2.1","BackendType":"vxlan","BackendData":${backendData}}`,
  );
  t.equal(
    leaseValue({ ...body, publicIpv6: "fd00::7", backendType: "vxlan", backendData }),
    '{"PublicIP":"192.0.2.1","PublicIPv6":"fd00::7","BackendType":"vxlan",' +
      `"BackendData":${backendData},"BackendV6Data":${backendData}}`,
  );
  t.equal(
    leaseValue({ ...body, publicIp: "fd00::7", backendType: "host-gw", backendData: "null" }),
    '{"PublicIPv6":"fd00::7","BackendType":"host-gw"}',
  );
  t.equal(subnetName(["fd00:5:0:1::/64"]), "fd00:5:0:1::-64");
});

t.test("on the way to a key it is said where the way ends", async (t) => {
  const root = project(twoHosts().state, PREFIX);
  t.same(findNode(root, "/nope/x"), { kind: "missing", at: "/nope" });
  t.same(findNode(root, `${PREFIX}/config/x`), {
    kind: "not-a-directory",
    at: `${PREFIX}/config`,
  });
  const named = (path: string) => {
    const found = findNode(root, path);
    return found.kind === "found" ? found.node.key : found.kind;
  };
  t.same(["", "/", "//kube-centos///network/"].map(named), ["/", "/", PREFIX]);
});

t.test("a prefix is a path below the root", async (t) => {
  t.equal(readPrefix("/coreos.com//network/"), "/coreos.com/network");
  for (const wrong of ["", "/", "//", "x/y", "/a/../b", "/a\nb"]) {
    t.equal(readPrefix(wrong), undefined, JSON.stringify(wrong));
  }
});
