/** One host's routes and its subnet file, over a kernel in memory. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import type { LeaseStanding } from "../../../src/agent/leasing.ts";
import { formatAddress, parseAddress } from "../../../src/ip/address.ts";
import { formatPrefix, parsePrefix } from "../../../src/ip/prefix.ts";
import { MemoryKernel } from "../../../src/kernel/memory-kernel.ts";
import { ROUTE_PROTOCOL } from "../../../src/plan/kernel.ts";
import { until } from "../../support/fast-clock.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { attributes, EPOCH, joiner, LATER, OPEN_TOKEN } from "../../support/ledger.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { PlaneHost } from "../../support/plane-host.ts";
import { route } from "../../support/routes.ts";

/** Host 1 of the cluster, and its kernel. */
class Host extends PlaneHost {
  /** Our routes, as text. */
  get routes(): string[] {
    return this.kernel.routes.filter(({ protocol }) => protocol === ROUTE_PROTOCOL)
      .map(({ destination }) => formatPrefix(destination)).sort();
  }
}

function machine(): MemoryKernel {
  const kernel = new MemoryKernel();
  const address = { address: parseAddress("192.168.0.1"), length: 24 };
  kernel.addLink("eth0", { addresses: [address] });
  return kernel;
}

const host = (t: Test) => new Host(temporaryFolder(t), machine());

t.test("routes to all peers, then the subnet file", async (t) => {
  const one = host(t);
  one.join(2);
  await one.start(t);
  t.same(one.routes, ["10.5.1.0/24", "10.5.3.0/24"]);
  await until("the file is there", () => one.plane.subnetFileWritten);
  t.match(one.env!, /^FLANNEL_NETWORK=10\.5\.0\.0\/16\nFLANNEL_SUBNET=10\.5\.2\.1\/24\n/);
  t.match(one.env!, /FLANNEL_MTU=1500\nFLANNEL_IPMASQ=false\n$/);
  one.join(3);
  await until("a newcomer is routed", () => one.routes.includes("10.5.4.0/24"));
  one.cluster.apply({ kind: "node.remove", node: "id2" });
  await until("one that went is not", () => !one.routes.includes("10.5.3.0/24"));
  t.same(one.plane.routes().map(({ state }) => state), ["ok", "ok"]);
});

t.test("container runtimes are told when they need not masquerade", async (t) => {
  const one = await host(t).start(t, { masquerades: () => Promise.resolve(true) });
  await until("the file is there", () => one.plane.subnetFileWritten);
  t.match(one.env!, /^FLANNEL_IPMASQ=true$/m);
});

t.test("what is programmed is on disk before the first route is", async (t) => {
  const one = host(t);
  const seen: unknown[] = [];
  const apply = one.kernel.apply.bind(one.kernel);
  one.kernel.apply = async (changes) => {
    seen.push(await one.identity.read("programmed"));
    return await apply(changes);
  };
  await one.start(t);
  t.same(seen[0], { epoch: EPOCH, revision: 0, networks: ["10.5.0.0/16"] });
  await until("the position follows", () => readProgrammed(one).revision > 0);
  const { epoch, revision } = one.cluster.view().position;
  t.same(readProgrammed(one), { format: 1, epoch, revision, networks: ["10.5.0.0/16"] });
});

function readProgrammed(one: Host): { revision: number; epoch: { n: number } } {
  return JSON.parse(readFileSync(join(one.folder, "identity", "programmed.json"), "utf8"));
}

t.test("a network that cannot be remembered is not programmed", async (t) => {
  const one = host(t);
  const write = one.identity.write.bind(one.identity);
  let isFull = true;
  one.identity.write = (kind, record) =>
    isFull && kind === "programmed" ? Promise.reject(new Error("full")) : write(kind, record);
  const starting = one.start(t);
  await until("it said so", () => one.log.lines.some((line) => /cannot record/.test(line)));
  t.same(one.routes, []);
  isFull = false;
  one.join(2);
  await starting;
  await until("then it is", () => one.routes.length === 2);
  await until("and the file is there", () => one.plane.subnetFileWritten);
  t.same(one.routes, ["10.5.1.0/24", "10.5.3.0/24"]);
});

t.test("until a leader stands behind the state, nothing is taken away", async (t) => {
  const one = host(t);
  one.join(2);
  await one.start(t);
  await one.plane[Symbol.asyncDispose]();
  const again = new Host(one.folder, one.kernel);
  again.cluster.loseLeader();
  again.cluster.view = old(again.cluster.view.bind(again.cluster));
  await again.start(t);
  t.same(again.routes, ["10.5.1.0/24", "10.5.3.0/24"], "host 2 is not in this older copy");
  t.equal(again.plane.lastPass?.mode, "add-only");
  again.kernel.dropRoute(parsePrefix("10.5.1.0/24"));
  await again.pass();
  t.ok(again.routes.includes("10.5.1.0/24"));
});

/** As right after a start from the disk: nobody has confirmed anything yet. */
function old(view: MemoryCluster["view"]): MemoryCluster["view"] {
  return () => ({ ...view(), leaderAgeMs: undefined, leaderNode: undefined });
}

t.test("a fenced host keeps its routes, and starts no containers", async (t) => {
  const one = host(t);
  one.standing = { ...one.standing, kind: "fenced", error: undefined } as LeaseStanding;
  await one.start(t);
  await one.pass();
  t.same(one.routes, ["10.5.1.0/24"]);
  t.equal(one.env, undefined);
  t.equal(one.plane.subnetFileWritten, false);
});

t.test("a host that is fenced later loses neither routes nor file", async (t) => {
  const one = await host(t).start(t);
  await until("the file is there", () => one.plane.subnetFileWritten);
  one.fence();
  await one.pass();
  t.same(one.routes, ["10.5.1.0/24"]);
  t.ok(one.env !== undefined);
});

t.test("who says so is ready on the disk's word alone", async (t) => {
  const one = host(t);
  one.standing = { ...one.standing, kind: "fenced", error: undefined } as LeaseStanding;
  await one.start(t, { acceptExpiredLease: true });
  await until("the file is there", () => one.plane.subnetFileWritten);
  t.match(one.env!, /FLANNEL_SUBNET=10\.5\.2\.1\/24/);
});

t.test("without a lease there is nothing to do", async (t) => {
  const one = host(t);
  one.standing = { kind: "none" };
  await one.start(t);
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.same([one.routes, one.env, one.plane.lastPass], [[], undefined, undefined]);
});

t.test("a subnet file that somebody removed is back after the next look", async (t) => {
  const one = await host(t).start(t);
  await until("the file is there", () => one.plane.subnetFileWritten);
  const text = one.env;
  rmSync(one.subnetFile);
  await one.pass();
  await until("it is back", () => one.env === text);
  t.equal(one.env, text);
});

t.test("a peer's bad record costs that peer, and is told", async (t) => {
  const one = host(t);
  const attributes = { publicIp: "somewhere", backendType: "host-gw", backendData: "null" };
  const node = joiner(2, { attributes });
  one.cluster.apply({ kind: "node.join", tokenId: OPEN_TOKEN.tokenId, node });
  one.join(3);
  await one.start(t);
  t.same(one.routes, ["10.5.1.0/24", "10.5.4.0/24"]);
  t.same(one.plane.lastPass?.dropped.map(({ node }) => node), ["host2"]);
  t.ok(one.log.lines.some((line) => /^warn .*record of host2/.test(line)));
});

t.test("a config that changes while the node runs is followed, or said not to fit", async (t) => {
  const one = await host(t).start(t);
  await until("the file is there", () => one.plane.subnetFileWritten);
  const config = '{"Network":"10.5.0.0/16","MTU":1400,"Backend":{"Type":"host-gw"}}';
  one.cluster.apply({ kind: "network.set", config });
  await until("the file says so", () => /MTU=1400/.test(one.env!));
  const unknown = '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlam"}}';
  one.cluster.apply({ kind: "network.set", config: unknown });
  await until(
    "it says so",
    () => one.log.lines.some((line) => /does not fit this host/.test(line)),
  );
  t.same(one.routes, ["10.5.1.0/24"]);
});

t.test("who leaves takes its own routes and its file away, and nothing else", async (t) => {
  const one = host(t);
  const foreign = route("10.5.200.0/24", "192.168.0.9");
  one.kernel.putRoute(foreign, { protocol: 4 });
  const elsewhere = route("10.99.0.0/24", "192.168.0.9");
  one.kernel.putRoute(elsewhere, { protocol: ROUTE_PROTOCOL });
  await one.start(t);
  await until("the file is there", () => one.plane.subnetFileWritten);
  await one.plane.withdraw();
  t.same(one.routes, ["10.99.0.0/24"], "another network's routes are not this daemon's");
  t.ok(one.kernel.routes.some(({ destination }) => formatPrefix(destination) === "10.5.200.0/24"));
  t.equal(one.env, undefined);
});

/** Where the route to a subnet leads. */
function gatewayOf(one: Host, subnet: string): string | undefined {
  const found = one.kernel.routes.find(({ destination }) => formatPrefix(destination) === subnet);
  return found?.via && formatAddress(found.via);
}

t.test("in a hold nothing goes, and only leases of its epoch are followed", async (t) => {
  const one = host(t);
  for (const n of [2, 3, 4]) one.join(n);
  await one.start(t);
  t.equal(one.routes.length, 4);
  await until("that is recorded", () => readProgrammed(one).revision > 0);
  // What the new epoch goes on from knows neither host 4 nor where host 2 has moved to.
  one.cluster.apply({ kind: "node.remove", node: "id4" });
  const moved = { ...attributes(2), publicIp: "192.168.0.77" };
  one.cluster.apply({ kind: "cluster.reform", epoch: LATER, reason: "restore", node: "id0" });
  await one.pass();
  t.equal(one.plane.lastPass?.mode, "add-only");
  one.kernel.dropRoute(parsePrefix("10.5.1.0/24"));
  one.cluster.apply({
    kind: "lease.claim",
    ...{ node: "id2", subnets: ["10.5.3.0/24"], attributes: moved },
    ...{ epoch: EPOCH, revision: 99, locallyValid: true },
  });
  await until("a claim is followed", () => gatewayOf(one, "10.5.3.0/24") === "192.168.0.77");
  await until("what is missing is added", () => one.routes.includes("10.5.1.0/24"));
  t.ok(one.routes.includes("10.5.5.0/24"), "host 4 may have come back in what was lost");
  t.equal(readProgrammed(one).epoch.n, 1);

  one.cluster.apply({ kind: "cluster.release-hold", epoch: LATER, early: true });
  await until("then it goes", () => !one.routes.includes("10.5.5.0/24"));
  t.equal(one.plane.lastPass?.mode, "full");
  await until("and the new epoch is the recorded one", () => readProgrammed(one).epoch.n === 2);
});
