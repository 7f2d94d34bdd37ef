/** No server is left: the cluster begins anew from a backup, on real daemons. */
import { copyFileSync, cpSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";
import {
  cannotLab,
  eventually,
  found,
  joinBy,
  makeLab,
  makeToken,
  offline,
  onNode,
  ownRoutes,
  restart,
  subnetOf,
  typed,
  untilReady,
  untilRouted,
} from "../support/lab.ts";
import type { Test } from "../support/tap.ts";

const options = { skip: cannotLab, timeout: 600_000 };
const PASSPHRASE = { DENIM_PASSPHRASE: "correct horse battery" };

interface Status {
  readonly node: { readonly id: string; readonly name: string };
  readonly lease: { readonly state: string; readonly subnets: readonly string[]; why: string };
  readonly cluster: {
    readonly name: string;
    readonly epoch: { readonly n: number };
    readonly hold: { readonly reason: string } | null;
  };
}

const statusOf = async (host: Host) => await host.get("/v1/self") as Status;

/** A server and hosts that are agents. */
async function cluster(t: Test, names: readonly string[]): Promise<{ lab: Lab; hosts: Host[] }> {
  const lab = await makeLab(t);
  const server = await lab.addHost("a");
  await found(server, onNode);
  const token = await makeToken(server, 50, ["--role", "agent"]);
  const agents: Host[] = [];
  for (const name of names) {
    const host = await lab.addHost(name);
    await joinBy(host, onNode, server, token);
    agents.push(host);
  }
  return { lab, hosts: [server, ...agents] };
}

/** Resolves once it stands to its lease as it should. */
async function comeBack(host: Host, server: Host, state: "held" | "fenced"): Promise<void> {
  await host.startDaemon(onNode, ["rejoin", server.address, "--foreground"]);
  await eventually(`${host.name} is back, its lease ${state}`, async () => {
    const status = await statusOf(host).catch(() => undefined);
    return status?.cluster?.hold?.reason === "restore" && status.lease.state === state
      ? true
      : undefined;
  });
}

async function leasesOf(server: Host): Promise<Record<string, string>> {
  const { items } = await server.get("/v1/leases") as {
    items: { subnet: string; nodeName: string }[];
  };
  return Object.fromEntries(items.map(({ subnet, nodeName }) => [subnet, nodeName]));
}

t.test("an old backup, and a new host asks first: no subnet is held twice", options, async (t) => {
  const { lab, hosts } = await cluster(t, ["b", "c"]);
  const [a, b, c] = hosts as [Host, Host, Host];
  const file = join(a.folder, "old.backup");
  const made = await typed(a, ["backup", file, "--with-ca"], PASSPHRASE);
  t.equal(made.status, 0, made.err);
  t.match(made.out, /3 nodes, 3 leases[^]*CA key +in it, under a passphrase/);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.notOk(readFileSync(file, "utf8").includes("PRIVATE KEY"));
  const shown = await typed(a, ["backup", "--inspect", file]);
  t.equal(shown.out, made.out);
  const byAgent = await typed(b, ["backup", join(b.folder, "by-agent")]);
  t.match(byAgent.out, /3 nodes, 3 leases[^]*CA key +not in it/, "an agent gets one as well");
  const withKey = await typed(b, ["backup", join(b.folder, "no"), "--with-ca"], PASSPHRASE);
  t.match(withKey.err, /does not have the CA key/, "but not the key");

  // After the backup c's subnet goes to d, and c is as its disk was before.
  const [subnetA, subnetB, subnetC] = await Promise.all([a, b, c].map(subnetOf));
  const formerC = join(c.folder, "former");
  cpSync(c.stateDir, formerC, { recursive: true });
  const d = await lab.addHost("d");
  copyFileSync(c.subnetFile, d.subnetFile);
  await c.ask(onNode, ["leave", "--yes"]);
  await joinBy(d, onNode, a, await makeToken(a, 1, ["--role", "agent"]));
  t.equal(await subnetOf(d), subnetC, "it has it by right");
  await untilRouted([a, b, d]);
  await Promise.all([a, b, d].map(({ daemon }) => daemon!.stop("SIGKILL")));
  const routes = await ownRoutes(b);
  rmSync(a.stateDir, { recursive: true });

  const { name } =
    JSON.parse((await typed(a, ["backup", "--inspect", file, "--json"])).out).cluster;
  const restore = ["restore", file, "--confirm", name];
  t.match((await offline(a, restore)).err, /takes the place[^]*--as NODE, one of a\n/);
  t.match((await offline(a, [...restore, "--as", "b"])).err, /b is no server in the backup/);
  const wrong = await offline(a, [...restore, "--as", "a"], { DENIM_PASSPHRASE: "incorrect" });
  t.match(wrong.err, /PASSPHRASE_WRONG/);
  const done = await offline(a, [...restore, "--as", "a"], PASSPHRASE);
  t.equal(done.status, 0, done.err);
  t.match(done.err, /is undone; hosts that are up claim[^]*removed since is a member again/);
  t.match(done.out, /Epoch 2 begins on a\.[^]*denim run[^]*release-hold/);
  await restart(a, onNode);
  await eventually("it leads, on hold", async () => {
    const status = await statusOf(a).catch(() => undefined);
    return status?.cluster?.hold?.reason === "restore" ? true : undefined;
  });

  const e = await lab.addHost("e");
  const DENIM_TOKEN = await makeToken(a, 1, ["--role", "agent"]);
  await e.startDaemon(onNode, ["run", "--join", a.address], { DENIM_TOKEN });
  await eventually("the new host waits", () => {
    return Promise.resolve(/ON_HOLD/.test(readFileSync(e.logFile, "utf8")) ? true : undefined);
  });

  // Who is sure of nothing asks before who is in the right.
  rmSync(c.stateDir, { recursive: true, force: true });
  cpSync(formerC, c.stateDir, { recursive: true });
  rebooted(c);
  await comeBack(c, a, "fenced");
  const early = await statusOf(c);
  t.same([early.lease.state, early.lease.subnets], ["fenced", [subnetC]]);
  await comeBack(b, a, "held");
  t.equal(await subnetOf(b), subnetB);
  await comeBack(d, a, "held");
  t.equal(await subnetOf(d), subnetC);
  t.equal((await leasesOf(a))[subnetC!], "d", "a valid claim outdoes what the backup says");
  t.equal((await statusOf(c)).lease.state, "fenced");
  t.same(await ownRoutes(b), routes, "no route has gone or changed");

  await a.ask(onNode, ["cluster", "release-hold", "--accept-risk"]);
  await untilReady([a, b, d, e]);
  const fenced = await eventually("c is told", async () => {
    const { lease } = await statusOf(c);
    return /is taken: it is leased to d/.test(lease.why) ? lease : undefined;
  });
  t.same([fenced.state, fenced.subnets], ["fenced", [subnetC]], "and is not renumbered");
  t.same(await Promise.all([a, b, d].map(subnetOf)), [subnetA, subnetB, subnetC]);
  t.notOk([subnetA, subnetB, subnetC].includes(await subnetOf(e)), "the new host has its own");
  await untilRouted([a, b, d, e]);
});

/** The same disk after a reboot: whether its lease is still its own, nobody can say. */
function rebooted({ stateDir }: Host): void {
  const path = join(stateDir, "identity", "lease.json");
  const lease = JSON.parse(readFileSync(path, "utf8"));
  writeFileSync(path, JSON.stringify({ ...lease, sent: { ...lease.sent, bootId: "former" } }));
}

t.test("without the CA key a new CA is made, and nodes come back by token", options, async (t) => {
  const { hosts } = await cluster(t, ["b"]);
  const [a, b] = hosts as [Host, Host];
  const file = join(a.folder, "plain.backup");
  t.equal((await typed(a, ["backup", file])).status, 0);
  const [before, subnet] = [await statusOf(b), await subnetOf(b)];
  const running = await offline(a, ["restore", file, "--confirm", "x"]);
  t.match(running.err, /The daemon runs on this host/);
  await a.daemon!.stop("SIGKILL");
  await eventually("an agent says what is wrong, and where it can be mended", async () => {
    const { out } = await typed(b, ["status"]);
    return /0 of 1 voters reachable[^]*fix: start a - or, if it .* on a server that is left: denim /
        .test(out)
      ? true
      : undefined;
  });
  await b.daemon!.stop("SIGKILL");
  const kept = await offline(a, ["restore", file, "--confirm", before.cluster.name]);
  t.match(kept.err, /a has a store of that cluster[^]*denim cluster recover[^]*--replace-store/);
  rmSync(a.stateDir, { recursive: true });
  const words = ["restore", file, "--as", "a", "--confirm", before.cluster.name];
  const done = await offline(a, words);
  t.equal(done.status, 0, done.err);
  t.match(done.out, /denim token create --uses N[^]*rejoin HOST --with-token/);
  await restart(a, onNode);
  const token = await eventually("a token", () => makeToken(a, 1).catch(() => undefined));
  await b.startDaemon(onNode, ["rejoin", a.address, "--foreground"], { DENIM_TOKEN: token });
  await untilReady([b]);
  const after = await statusOf(b);
  t.same([after.node, await subnetOf(b)], [before.node, subnet]);
  await a.ask(onNode, ["cluster", "release-hold", "--accept-risk"]);
  await untilRouted([a, b]);
});
