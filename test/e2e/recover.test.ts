/** Most voters are gone for good: the ways on, by what people type, on real daemons. */
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { systemClock } from "../../src/base/clock.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";
import { IdentityFolder } from "../../src/store/identity.ts";
import { createCsr, issueCertificate } from "../../src/transport/pki.ts";
import {
  cannotLab,
  eventually,
  found,
  joinBy,
  makeLab,
  makeToken,
  offline,
  onNode,
  restart,
  runInside,
  subnetOf,
  typed,
  untilReady,
  untilRouted,
} from "../support/lab.ts";
import type { Test } from "../support/tap.ts";

const options = { skip: cannotLab, timeout: 600_000 };

interface Status {
  readonly role: string;
  readonly node: { readonly id: string; readonly name: string };
  readonly checks: readonly { readonly name: string; readonly why?: string }[];
  readonly cluster: {
    readonly name: string;
    readonly epoch: { readonly n: number; readonly random: string };
    readonly leader: string | null;
    readonly hold: { readonly reason: string; readonly fork: string | null } | null;
    readonly quorum: {
      readonly voters: number;
      readonly reachable: number;
      readonly needed: number;
      readonly missing: readonly string[];
      readonly fix: string | null;
    } | null;
  };
}

const statusOf = async (host: Host) => await host.get("/v1/self") as Status;

/** Waits until a host's status is like this; a daemon that has just been started may say nothing. */
async function untilStatus(what: string, host: Host, is: (status: Status) => boolean) {
  return await eventually(what, async () => {
    const status = await statusOf(host).catch(() => undefined);
    return status !== undefined && is(status) ? status : undefined;
  });
}

async function cluster(t: Test, names: readonly string[]): Promise<{ lab: Lab; hosts: Host[] }> {
  const lab = await makeLab(t);
  const hosts: Host[] = [];
  for (const name of names) hosts.push(await lab.addHost(name));
  const [first, ...others] = hosts as [Host, ...Host[]];
  await found(first, onNode);
  const token = await makeToken(first);
  for (const host of others) await joinBy(host, onNode, first, token);
  await untilRouted(hosts);
  return { lab, hosts };
}

async function untilRoles(host: Host, wanted: readonly string[]): Promise<void> {
  await eventually(`roles ${wanted}`, async () => {
    const { items } = await host.get("/v1/nodes") as { items: { role: string }[] };
    return String(items.map(({ role }) => role).sort()) === String(wanted) ? true : undefined;
  });
}

async function stopAll(hosts: readonly Host[]): Promise<void> {
  await Promise.all(hosts.map(({ daemon }) => daemon!.stop("SIGKILL")));
}

async function rejoin(host: Host, server: Host): Promise<void> {
  await host.startDaemon(onNode, ["rejoin", server.address, "--foreground"]);
  await untilReady([host]);
}

t.test("three servers, two destroyed: the third goes on, all keep theirs", options, async (t) => {
  const { hosts } = await cluster(t, ["web1", "web2", "web3"]);
  const [a, b, c] = hosts as [Host, Host, Host];
  await untilRoles(b, ["leader", "voter", "voter"]);
  const before = await Promise.all([a, b, c].map(subnetOf));
  // The last that all of them have heard.
  await makeToken(b);
  const running = await offline(b, ["cluster", "recover", "--inspect"]);
  t.same(running.status, 7, running.out);
  t.match(running.err, /The daemon runs on this host[^]*stop it first[^]*STORE_LOCKED/);
  await stopAll([a, c]);

  const status = await untilStatus("the loss is seen", b, ({ cluster }) => {
    return cluster.leader === null && cluster.quorum?.reachable === 1;
  });
  t.same(status.cluster.quorum, {
    ...{ voters: 3, reachable: 1, needed: 2, missing: ["web1", "web3"] },
    fix: "start web1 or web3 - or, if both are gone for good: denim cluster recover",
  });
  const shown = await typed(b, ["status"]);
  t.match(
    shown.out,
    /! no leader: 1 of 3 voters reachable \(need 2\)\. Routes on this host are /,
  );
  t.match(shown.out, /fix: start web1 or web3 - or, if both are gone .*: denim cluster recover/);
  const write = await typed(b, ["token", "create"]);
  t.equal(write.status, 6, write.out);
  t.match(
    write.err,
    /No server leads the cluster: 1 of 3 voters[^]*fix .*denim cluster recover\n.*NO_LEADER/,
  );

  await b.daemon!.stop();
  const files = contentsOf(b);
  const seen = await offline(b, ["cluster", "recover", "--inspect", "--json"]);
  t.same(contentsOf(b), files, "looking changes nothing");
  const remains = JSON.parse(seen.out);
  t.same([remains.node.name, remains.node.role, remains.caKey], ["web2", "voter", true]);
  t.same(remains.voters.map(({ name }: { name: string }) => name).sort(), [
    "web1",
    "web2",
    "web3",
  ]);
  t.same([remains.leases, remains.cluster.epoch.n, remains.hold], [3, 1, false]);
  t.ok(remains.log.index >= remains.applied && Date.parse(remains.time) > 0);

  const asked = await offline(b, ["cluster", "recover"]);
  t.equal(asked.status, 2);
  t.match(asked.err, /Dropped: web1, web3\.[^]*--confirm/);
  const wrong = await offline(b, ["cluster", "recover", "--confirm", "another"]);
  t.match(wrong.err, /Nothing was changed/);
  const { name } = remains.cluster;
  const done = await offline(b, ["cluster", "recover", "--confirm", name]);
  t.equal(done.status, 0, done.err);
  t.match(done.out, /Epoch 2 begins[^]*denim run[^]*denim rejoin[^]*release-hold/);

  await restart(b, onNode);
  await untilReady([b]);
  const held = (await statusOf(b)).cluster;
  t.same([held.epoch.n, held.leader, held.hold?.reason], [2, "web2", "recover"]);
  await restart(a, onNode);
  await untilStatus("who was dropped hears it", a, ({ checks }) => {
    return checks.some(({ why }) => /goes on in epoch 2\./.test(why ?? ""));
  });
  await a.daemon!.stop();
  await rejoin(a, b);
  await rejoin(c, b);
  await untilRouted([a, b, c]);
  t.same(await Promise.all([a, b, c].map(subnetOf)), before, "everybody has what it had");
  await untilRoles(b, ["leader", "voter", "voter"]);

  await b.daemon!.stop();
  const early = await offline(b, ["cluster", "recover", "--confirm", name]);
  t.equal(early.status, 7);
  t.match(early.err, /web1 and web3 can be reached[^]*start the missing voters/);

  await t.test("two of them recovered apart refuse each other, loudly", async (t) => {
    await stopAll([a, c]);
    for (const host of [a, b]) {
      const said = await offline(host, ["cluster", "recover", "--confirm", name]);
      t.equal(said.status, 0, said.err);
    }
    for (const host of [a, b]) await restart(host, onNode);
    await untilReady([a, b]);
    for (const [host, other] of [[a, b], [b, a]] as const) {
      const { epoch } = (await statusOf(other)).cluster;
      const fork = `${epoch.n}.${epoch.random}`;
      const { checks } = await untilStatus(
        `${host.name} knows of the fork`,
        host,
        ({ cluster }) => {
          return cluster.hold?.fork === fork;
        },
      );
      t.match(logOf(host), /another cluster goes on from the same past/);
      t.ok(checks.some(({ name }) => name === "epoch"), "it is on the first screen");
    }
    t.same(await Promise.all([a, b].map(subnetOf)), before.slice(0, 2));
    await b.daemon!.stop();
    await rejoin(b, a);
    t.same(await Promise.all([a, b].map(subnetOf)), before.slice(0, 2));
    t.equal((await statusOf(b)).cluster.epoch.random, (await statusOf(a)).cluster.epoch.random);
  });
});

t.test("two hosts, the voter destroyed: the standby goes on, and can sign", options, async (t) => {
  const { lab, hosts } = await cluster(t, ["a", "b"]);
  const [a, b] = hosts as [Host, Host];
  await untilRoles(a, ["leader", "standby"]);
  const token = await makeToken(a);
  const subnet = await subnetOf(b);
  await stopAll([a]);
  rmSync(a.stateDir, { recursive: true });
  const lost = await untilStatus("the loss is seen", b, ({ cluster }) => {
    return typeof cluster.quorum?.fix === "string";
  });
  t.match(lost.cluster.quorum!.fix!, /start a - or, if it is gone for good: denim cluster recover/);
  await b.daemon!.stop();
  const { name } = JSON.parse((await offline(b, ["cluster", "recover", "--inspect", "--json"])).out)
    .cluster;
  const done = await offline(b, ["cluster", "recover", "--confirm", name]);
  t.equal(done.status, 0, done.err);
  await restart(b, onNode);
  await untilReady([b]);
  t.equal(await subnetOf(b), subnet);

  const c = await lab.addHost("c");
  const early = await runInside(c, ["join", b.address, "--foreground"], { DENIM_TOKEN: token });
  t.match(early.err, /on hold[^]*ON_HOLD/);
  await b.ask(onNode, ["cluster", "release-hold", "--accept-risk"]);
  await joinBy(c, onNode, b, token);
  t.not(await subnetOf(c), subnet);
  await untilRoles(b, ["leader", "standby", "agent"].sort());
});

t.test("what cannot be gone on from is refused, and says why", options, async (t) => {
  const { hosts } = await cluster(t, ["a"]);
  const [a] = hosts as [Host];
  const lab = await makeLab(t);
  const nobody = await lab.addHost("n");
  const none = await offline(nobody, ["cluster", "recover"]);
  t.same(none.status, 3);
  t.match(none.err, /This host is in no cluster[^]*denim restore/);
  await a.daemon!.stop("SIGKILL");
  rmSync(`${a.stateDir}/store`, { recursive: true });
  const gone = await offline(a, ["cluster", "recover", "--inspect"]);
  t.match(gone.err, /does not hold the log[^]*denim restore FILE[^]*NOT_A_MEMBER/);
});

t.test("a certificate ran out: by a token the node is what it was", options, async (t) => {
  const { hosts } = await cluster(t, ["a", "b"]);
  const [a, b] = hosts as [Host, Host];
  const [before, subnet] = [await statusOf(b), await subnetOf(b)];
  await b.daemon!.stop();
  await expireCertificate(b, a);
  await restart(b, onNode);
  await untilStatus("it is told what is wrong", b, ({ cluster }) => cluster.leader === null);
  await eventually("and so is the server", () => {
    return Promise.resolve(/its certificate expired on/.test(logOf(a)) ? true : undefined);
  });
  await b.daemon!.stop();
  const asked = await runInside(b, ["rejoin", a.address, "--foreground"]);
  t.match(asked.err, /A token is needed/);
  const DENIM_TOKEN = await makeToken(a, 1);
  await b.startDaemon(onNode, ["rejoin", a.address, "--foreground"], { DENIM_TOKEN });
  await untilReady([b]);
  const after = await statusOf(b);
  t.same([after.node, await subnetOf(b)], [before.node, subnet]);
  await untilRouted([a, b]);
  await untilRoles(a, ["leader", "standby"]);
});

/** Gives a host a certificate of its own key that was made 91 days ago. */
async function expireCertificate(host: Host, server: Host): Promise<void> {
  const [own, signer] = [host, server].map(({ stateDir }) =>
    new IdentityFolder(join(stateDir, "identity"))
  ) as [IdentityFolder, IdentityFolder];
  const { nodeId, clusterId, role } = (await own.read("node"))!;
  const ca = { certPem: (await signer.readPem("ca"))!, keyPem: (await signer.readPem("caKey"))! };
  const csr = await createCsr((await own.readPem("key"))!);
  const clock = systemClock();
  const then = { ...clock, wallMs: () => clock.wallMs() - 91 * 86_400_000 };
  await own.writePem("cert", await issueCertificate(ca, csr, { nodeId, clusterId, role }, then));
}

/** Every file of a host's node, but for the lock, which names who had it last. */
function contentsOf({ stateDir }: Host): Record<string, string> {
  const names = readdirSync(stateDir, { recursive: true, encoding: "utf8" }).sort()
    .filter((name) => name !== "lock" && statSync(join(stateDir, name)).isFile());
  return Object.fromEntries(
    names.map((name) => [name, readFileSync(join(stateDir, name)).toString("base64")]),
  );
}

/** What a daemon has said. */
function logOf({ logFile }: Host): string {
  return readFileSync(logFile, "utf8");
}
