/** A whole node over real files becomes the first of a restored cluster. */
import t, { type Test } from "tap";
import { makeBackup } from "../../../src/agent/entry/backing-up.ts";
import { inspectRemains, recoverCluster } from "../../../src/agent/entry/recovering.ts";
import {
  planRestore,
  restoreCluster,
  type RestoreWish,
} from "../../../src/agent/entry/restoring.ts";
import { hex } from "../../../src/base/bytes.ts";
import { theHold } from "../../../src/lease/hold.ts";
import { type Backup, decodeBackup } from "../../../src/store/backup.ts";
import { caPin } from "../../../src/transport/certificate.ts";
import { until } from "../../support/fast-clock.ts";
import { FOUND, RealHost } from "../../support/real-host.ts";

const WISH: RestoreWish = { as: undefined, replaceStore: false, newCa: false };
const OVER: RestoreWish = { ...WISH, replaceStore: true };

/** A cluster of one host that has gone down, and what it was before. */
async function stopped(t: Test): Promise<{ host: RealHost; backup: Backup; subnet: string }> {
  const host = await RealHost.enter(t, 1, FOUND);
  await until("it holds its lease", () => host.subnet.includes("/24"));
  const { identity, random, clock } = host.parts;
  const text = await makeBackup({
    capture: await host.node.control.capture(),
    caBundle: (await identity.readPem("ca"))!,
    ...{ caKey: undefined, passphrase: undefined, version: "0.1.0" },
    ...{ random, wallMs: clock.wallMs() },
  });
  const { subnet } = host;
  await host.stop();
  return { host, backup: decodeBackup(text), subnet };
}

const holdOf = ({ node }: RealHost) => {
  const view = node.control.cluster.view();
  return view && theHold(view.state)?.reason;
};

t.test("over its own store it goes back to the backup, as itself, with its CA", async (t) => {
  const { host, backup, subnet } = await stopped(t);
  const pin = caPin((await host.parts.identity.readPem("ca"))!);
  await t.rejects(planRestore(host.parts, backup, WISH), {
    code: "CLUSTER_EXISTS",
    fix: /cluster recover[^]*--replace-store/,
  });
  const plan = await planRestore(host.parts, backup, OVER);
  t.same([plan.node.name, plan.ca, plan.hasStore, plan.servers], ["web1", "here", true, []]);
  const { epoch, aside } = await restoreCluster(host.parts, backup, plan, undefined);
  t.same([epoch.n, host.asides.length], [2, 1]);
  t.ok(aside);
  await host.start();
  await until("it has its lease back, on hold", () => host.subnet === subnet);
  t.same([holdOf(host), host.node.control.cluster.view()!.position.epoch], ["restore", epoch]);
  t.same(caPin((await host.parts.identity.readPem("ca"))!), pin);

  await t.test("and again by a recovery, into the epoch after that", async (t) => {
    await host.stop();
    const remains = await inspectRemains(host.parts);
    t.same([remains.node.role, remains.cluster.epoch, remains.hold], ["voter", epoch, true]);
    t.equal((await recoverCluster(host.parts, remains)).epoch.n, 3);
    await host.start();
    await until("it has its lease back", () => host.subnet === subnet);
    t.equal(holdOf(host), "recover");
  });
});

t.test("with a new CA nobody's certificate counts but its own", async (t) => {
  const { host, backup, subnet } = await stopped(t);
  const pin = caPin((await host.parts.identity.readPem("ca"))!);
  const plan = await planRestore(host.parts, backup, { ...OVER, newCa: true });
  t.equal(plan.ca, "new");
  await restoreCluster(host.parts, backup, plan, undefined);
  t.not(hex(caPin((await host.parts.identity.readPem("ca"))!)), hex(pin));
  await host.start();
  await until("it has its lease back", () => host.subnet === subnet);
});

t.test("a host is who it is, and goes back to its own cluster only", async (t) => {
  const [one, other] = [await stopped(t), await stopped(t)];
  await t.rejects(planRestore(one.host.parts, other.backup, OVER), {
    code: "CLUSTER_MISMATCH",
    why: /it is of cluster .*, the backup of /,
  });
  await t.rejects(planRestore(one.host.parts, one.backup, { ...OVER, as: "web7" }), {
    code: "USAGE",
    fix: /leave out --as/,
  });
  t.same(one.host.asides, []);
});

t.test("what fails on the way leaves the old store where it was", async (t) => {
  const { host, backup } = await stopped(t);
  const plan = await planRestore(host.parts, backup, OVER);
  const stranger = { ...plan, node: { ...plan.node, id: "n-nobody" } };
  await t.rejects(restoreCluster(host.parts, backup, stranger, undefined), {
    code: "NOT_A_MEMBER",
  });
  t.same(host.asides, []);
  await host.start();
  await until("it leads as before", () => host.node.control.replica?.leads === true);
  t.equal(host.node.control.cluster.view()!.position.epoch.n, 1);
});
