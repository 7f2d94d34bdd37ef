/** What a daemon that cannot be sure does on a real kernel: it adds what is missing, and no more. */
import t, { type Test } from "tap";
import { LinuxKernel } from "../../../src/kernel/linux-kernel.ts";
import { EPOCH } from "../../support/ledger.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import { until } from "../../support/fast-clock.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { cannotUnshare, inNamespace, ip } from "../../support/namespace.ts";
import { PlaneHost } from "../../support/plane-host.ts";

/** Of a peer that is not in the state any more, and of one that the state knows at 192.168.0.2. */
const STANDING = [
  "10.5.3.0/24 via 192.168.0.77 dev eth0",
  "10.5.99.0/24 via 192.168.0.9 dev eth0",
];
/** Known and missing. */
const MISSING = "10.5.4.0/24 via 192.168.0.3 dev eth0";

function ours(): string[] {
  return ip("route show proto 68").split("\n").map((line) => line.trim()).filter(Boolean).sort();
}

/** Host 1, whose state has hosts 0, 2 and 3, in a namespace that remembers other days. */
async function machine(t: Test): Promise<PlaneHost<LinuxKernel>> {
  inNamespace(t);
  ip("link add eth0 type veth peer name far");
  ip("address add 192.168.0.1/12 dev eth0");
  ip("link set far up");
  ip("link set eth0 up");
  for (const route of STANDING) ip(`route add ${route} proto 68`);
  const kernel = await LinuxKernel.open();
  const one = new PlaneHost(temporaryFolder(t), kernel);
  for (const n of [2, 3]) one.join(n);
  t.teardown(async () => {
    await one.plane[Symbol.asyncDispose]();
    await kernel[Symbol.asyncDispose]();
  });
  return one;
}

/** After what makes it look: news from the kernel, and from the cluster. */
async function looksAgain(one: PlaneHost<LinuxKernel>): Promise<void> {
  ip("route add 10.9.9.0/24 via 192.168.0.9");
  await one.pass();
  one.join(4);
  await one.pass();
}

const unconfirmed = (view: MemoryCluster["view"]): MemoryCluster["view"] => () => ({
  ...view(),
  leaderAgeMs: undefined,
  leaderNode: undefined,
});

t.test("of a state that no leader has confirmed nothing is taken away or moved", {
  skip: cannotUnshare,
}, async (t) => {
  const one = await machine(t);
  one.cluster.view = unconfirmed(one.cluster.view.bind(one.cluster));
  await one.start(t);
  await looksAgain(one);
  t.equal(one.plane.lastPass?.mode, "add-only");
  for (const route of [...STANDING, MISSING]) t.ok(ours().includes(route), route);
});

t.test("of a state that is older than what was programmed neither", {
  skip: cannotUnshare,
}, async (t) => {
  const one = await machine(t);
  const networks = ["10.5.0.0/16"];
  await one.identity.write("programmed", { epoch: EPOCH, revision: 1_000, networks });
  await one.start(t);
  await looksAgain(one);
  t.equal(one.plane.lastPass?.mode, "add-only");
  for (const route of [...STANDING, MISSING]) t.ok(ours().includes(route), route);
});

t.test("a node that the cluster refuses keeps what it has", { skip: cannotUnshare }, async (t) => {
  const one = await machine(t);
  one.cluster.view = unconfirmed(one.cluster.view.bind(one.cluster));
  await one.start(t);
  one.fence();
  one.cluster.apply({ kind: "node.remove", node: "id1" });
  await looksAgain(one);
  for (const route of STANDING) t.ok(ours().includes(route), route);
});

t.test("a node that knows nothing does nothing", { skip: cannotUnshare }, async (t) => {
  const one = await machine(t);
  one.standing = { kind: "none" };
  await one.start(t);
  ip("route add 10.9.9.0/24 via 192.168.0.9");
  one.join(4);
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.same(ours(), STANDING);
});

t.test("and one that is sure puts all of it right", { skip: cannotUnshare }, async (t) => {
  const one = await machine(t);
  await one.start(t);
  await until("it is right", () => !ours().includes(STANDING[1]!));
  const right = ["10.5.1.0/24 via 192.168.0.0", "10.5.3.0/24 via 192.168.0.2"];
  t.same(ours(), [...right.map((route) => `${route} dev eth0`), MISSING]);
});
