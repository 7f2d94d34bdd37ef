/** The story of a small cluster on the real kernel, from its first minute through its worst day. */
import { rmSync } from "node:fs";
import t from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { ip } from "../../src/cli/lab/ip.ts";
import {
  cannotLab,
  eventually,
  found,
  joinBy,
  makeLab,
  makeToken,
  onDeno,
  onNode,
  ownRoutes,
  restart,
  singleBinary,
  subnetOf,
  unreached,
  untilReady,
  untilRouted,
  wantedRoutes,
  watchAll,
} from "../support/lab.ts";

const TIMEOUT_MS = 600_000;

async function leaderAmong(hosts: readonly Host[]): Promise<Host> {
  return await eventually("there is a leader", async () => {
    const asked = hosts.find(({ daemon }) => daemon?.isRunning)!;
    const { items } = await asked.get("/v1/nodes") as { items: { name: string; role: string }[] };
    const name = items.find(({ role }) => role === "leader")?.name;
    return hosts.find((host) => host.name === name);
  });
}

async function votersOf(host: Host): Promise<number> {
  const { items } = await host.get("/v1/nodes") as { items: { role: string }[] };
  return items.filter(({ role }) => role === "leader" || role === "voter").length;
}

async function killAll(hosts: readonly Host[]): Promise<void> {
  await Promise.all(hosts.map(({ daemon }) => daemon!.stop("SIGKILL")));
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

t.test("a cluster of real daemons, one on each runtime", {
  skip: cannotLab,
  timeout: TIMEOUT_MS,
}, async (t) => {
  const lab = await makeLab(t);
  const program = {
    ...{ a: await singleBinary(), b: onNode, c: onDeno, d: onNode, e: onNode },
  };
  const a = await lab.addHost("a");
  const b = await lab.addHost("b");
  const c = await lab.addHost("c");
  const programOf = (host: Host) => program[host.name as keyof typeof program];
  await found(a, programOf(a));
  const token = await makeToken(a);
  await joinBy(b, programOf(b), a, token);
  await joinBy(c, programOf(c), a, token);

  await t.test("containers on three hosts reach each other", async (t) => {
    await untilRouted([a, b, c]);
    for (const host of [a, b, c]) await host.startContainer();
    t.same(await unreached([a, b, c]), []);
    await eventually("three voters", async () => await votersOf(a) === 3 ? true : undefined);
  });

  await t.test("a route says whose it is, and goes straight to the peer", async (t) => {
    for (const host of [a, b, c]) {
      const lines = (await ip(`-n ${host.namespace} -N route show`)).split("\n");
      for (const other of [a, b, c].filter((other) => other !== host)) {
        const wanted = `${await subnetOf(other)} via ${other.address} dev eth0 proto 68`;
        t.ok(lines.some((line) => line.startsWith(wanted)), `${host.name}: ${wanted}`);
      }
    }
  });

  const d = await lab.addHost("d");
  await t.test("a fourth host joins, and every other one has its route", async (t) => {
    await joinBy(d, programOf(d), b, token);
    await untilRouted([a, b, c, d]);
    await d.startContainer();
    t.same(await unreached([a, b, c, d]), []);
  });

  const e = await lab.addHost("e");
  await t.test("the leader is killed: the next lease is taken, and no packet is lost", async (t) => {
    const stop = await watchAll([a, b, c, d]);
    const leader = await leaderAmong([a, b, c, d]);
    await leader.daemon!.stop("SIGKILL");
    const server = [a, b, c].find((host) => host !== leader)!;
    await joinBy(e, programOf(e), server, token);
    t.not(await subnetOf(e), await subnetOf(leader));
    t.same(await stop(), []);
    await restart(leader, programOf(leader));
    await untilReady([leader]);
    await untilRouted([a, b, c, d, e]);
    await e.startContainer();
  });

  const all = [a, b, c, d, e];
  const subnets = () => Promise.all(all.map(subnetOf));
  const routes = () => Promise.all(all.map(ownRoutes));
  const subnetsBefore = await subnets();
  const routesBefore = await routes();

  await t.test("every daemon is killed: packets go on", async (t) => {
    const stop = await watchAll(all);
    await killAll(all);
    await pause(2_000);
    t.same(await stop(), []);
    t.same(await routes(), routesBefore);
  });

  await t.test("all are started again: every host has the subnet that it had", async (t) => {
    const stop = await watchAll(all);
    for (const host of all) await restart(host, programOf(host));
    await untilReady(all);
    await untilRouted(all);
    t.same(await subnets(), subnetsBefore);
    t.same(await stop(), []);
  });

  await t.test("one alone, without a quorum, programs its routes from its own disk", async (t) => {
    await killAll(all);
    await ip(`-n ${b.namespace} route flush proto 68`);
    t.same(await ownRoutes(b), []);
    await restart(b, programOf(b));
    const wanted = String(await wantedRoutes(b, all));
    await eventually("its routes are back", async () => {
      return String(await ownRoutes(b)) === wanted ? true : undefined;
    });
    t.same(await unreached(all), []);
    const stopMs = performance.now();
    t.equal(await b.daemon!.stop(), 0);
    t.ok(performance.now() - stopMs < 5_000, "it does not wait for a leader to stop");
    t.same(await routes(), routesBefore, "stopping leaves them");
  });

  await t.test("all state but one host's is gone: no daemon deletes a route", async (t) => {
    for (const host of all.filter((host) => host !== c)) {
      rmSync(host.stateDir, { recursive: true });
    }
    const stop = await watchAll(all);
    for (const host of all) await restart(host, programOf(host));
    await pause(8_000);
    t.same(all.filter(({ daemon }) => !daemon!.isRunning).map(({ name }) => name), []);
    t.same(await routes(), routesBefore);
    t.same(await stop(), []);
  });
});
