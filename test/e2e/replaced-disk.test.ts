/**
 * A host comes back with an empty disk and is started by its unit. It must wait or join; a second
 * cluster over the same subnets would cut containers off.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import {
  cannotLab,
  eventually,
  found,
  joinBy,
  makeLab,
  makeToken,
  NETWORK,
  onNode,
  ownRoutes,
  restart,
  runInside,
  subnetOf,
  untilReady,
  untilRouted,
} from "../support/lab.ts";
import type { Test } from "../support/tap.ts";

const TIMEOUT_MS = 600_000;

async function clusterOf(host: Host): Promise<string> {
  const status = await host.ask(onNode, ["status"]) as { cluster: { id: string } };
  return status.cluster.id;
}

/** Two hosts in a cluster, one of them with an empty disk now; its routes are still there. */
async function replacedDisk(
  t: Test,
  role?: "standby",
): Promise<{ a: Host; b: Host; routes: string[] }> {
  const lab = await makeLab(t);
  const [a, b] = [await lab.addHost("a"), await lab.addHost("b")];
  await found(a, onNode);
  await joinBy(b, onNode, a, await makeToken(a));
  await untilRouted([a, b]);
  if (role !== undefined) {
    await eventually(`b is a ${role}`, async () => {
      const status = await b.ask(onNode, ["status"]) as { role: string };
      return status.role === role ? true : undefined;
    });
  }
  await b.daemon!.stop("SIGKILL");
  rmSync(b.stateDir, { recursive: true });
  return { a, b, routes: await ownRoutes(b) };
}

const options = { skip: cannotLab, timeout: TIMEOUT_MS };

t.test("a plain unit waits on an empty disk, and forms nothing", options, async (t) => {
  const { b, routes } = await replacedDisk(t);
  await restart(b, onNode);
  await eventually("it says that it waits", async () => {
    return readFileSync(b.logFile, "utf8").includes("waits") ? true : undefined;
  });
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  t.ok(b.daemon!.isRunning);
  t.notOk(existsSync(join(b.stateDir, "identity", "node.json")), "it is nobody");
  t.same(await ownRoutes(b), routes);
});

t.test("a unit with seeds and a token joins the cluster that there is", options, async (t) => {
  // Once b is a standby, so that taking its place means taking it out of the Raft group first.
  const { a, b } = await replacedDisk(t, "standby");
  const before = await subnetOf(b);
  const tokenFile = join(b.folder, "token");
  writeFileSync(tokenFile, `${await makeToken(a)}\n`);
  const words = ["run", "--join", a.address, "--token-file", tokenFile];
  await b.startDaemon(onNode, words);
  const said = await eventually("it says that its address is taken", async () => {
    const text = readFileSync(b.logFile, "utf8");
    return text.includes("PUBLIC_IP_TAKEN") ? text : undefined;
  });
  t.match(said, /cannot join yet/, "its former self is still there");
  await b.daemon!.stop();
  await b.startDaemon(onNode, [...words, "--replace", "b"]);
  await untilReady([b]);
  t.equal(await clusterOf(b), await clusterOf(a));
  t.not(await subnetOf(b), before, "the former subnet is in quarantine");
  await untilRouted([a, b]);
});

t.test("while no seed answers it goes on trying, and forms nothing", options, async (t) => {
  const { a, b, routes } = await replacedDisk(t);
  const token = await makeToken(a);
  await a.daemon!.stop("SIGKILL");
  await b.startDaemon(onNode, ["run", "--join", a.address], { DENIM_TOKEN: token });
  await eventually("it says that it cannot join", async () => {
    return readFileSync(b.logFile, "utf8").includes("cannot join yet") ? true : undefined;
  });
  t.ok(b.daemon!.isRunning);
  t.notOk(existsSync(join(b.stateDir, "identity", "node.json")));
  t.same(await ownRoutes(b), routes);
  await restart(a, onNode);
  await untilReady([a]);
  await eventually("it has heard the cluster", async () => {
    return readFileSync(b.logFile, "utf8").includes("PUBLIC_IP_TAKEN") ? true : undefined;
  });
});

t.test("even asked to, it forms no cluster where routes of one are left", options, async (t) => {
  const { a, b, routes } = await replacedDisk(t);
  const init = ["run", "--init", "--network", NETWORK];
  const said = await runInside(b, [...init, "--join", a.address]);
  t.equal(said.status, 7);
  t.match(said.err, /CLUSTER_EXISTS/);
  t.match(said.err, /denim cleanup --network 10\.244\.0\.0\/16/);
  t.notOk(existsSync(b.stateDir), "the disk is as empty as it was");
  t.same(await ownRoutes(b), routes);
});

t.test("even without routes it forms no cluster while a seed answers", options, async (t) => {
  const lab = await makeLab(t);
  const [a, b] = [await lab.addHost("a"), await lab.addHost("b")];
  await found(a, onNode);
  const init = ["run", "--init", "--network", NETWORK];
  const said = await runInside(b, [...init, "--join", a.address]);
  t.equal(said.status, 7);
  t.match(said.err, /192\.0\.2\.1(:7470)? answers: there is a cluster already/);
  t.match(said.err, /fix +denim join 192\.0\.2\.1/);
  t.notOk(existsSync(b.stateDir));
});
