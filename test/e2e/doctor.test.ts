/** What `denim doctor` says on hosts that somebody broke, and whether `--fix` mends them. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import t from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import { ip, runProgram } from "../../src/cli/lab/ip.ts";
import type { Finding } from "../../src/doctor/finding.ts";
import {
  cannotLab,
  eventually,
  found,
  joinBy,
  makeLab,
  makeToken,
  onNode,
  runInside,
  subnetOf,
  typed,
  untilRouted,
} from "../support/lab.ts";

interface Diagnosis {
  readonly ok: boolean;
  readonly findings: readonly Finding[];
  readonly changed: readonly { path: string }[];
}

async function doctor(host: Host, more: readonly string[] = []): Promise<Diagnosis> {
  const { status, out, err } = await runInside(host, ["doctor", "--json", ...more]);
  const diagnosis = JSON.parse(out || `{"err":${JSON.stringify(err)}}`) as Diagnosis;
  if ((status === 0) !== diagnosis.ok) throw new Error(`doctor ended with ${status}: ${err}`);
  return diagnosis;
}

/** What one check found; all of it empty where it found nothing. */
function of({ findings }: Diagnosis, check: string): Required<Finding> {
  const nothing = { check, result: "ok" as const, found: "", why: "", fix: "", settings: [] };
  return { ...nothing, ...findings.find((finding) => finding.check === check) };
}

async function inside(host: Host, line: string): Promise<void> {
  const words = ["netns", "exec", host.namespace, "sh", "-c", line];
  const { status, err } = await runProgram("ip", words);
  if (status !== 0) throw new Error(`${line}: ${err}`);
}

async function set(host: Host, path: string, value: string): Promise<void> {
  await inside(host, `echo ${value} > /proc/sys/${path}`);
}

t.test("the doctor says what is wrong, and why", {
  skip: cannotLab,
  timeout: 600_000,
}, async (t) => {
  const lab = await makeLab(t);
  const a = await lab.addHost("a");
  const b = await lab.addHost("b");

  await t.test("before there is a cluster", async (t) => {
    const before = await doctor(a, ["--network", "10.244.0.0/16"]);
    t.ok(before.ok);
    t.match(
      of(before, "interface").found,
      /^eth0 192\.0\.2\.1, MTU 1500: chosen by the default route/,
    );
    t.equal(of(before, "overlap").result, "ok");
    const public8 = await doctor(a, ["--network", "8.0.0.0/8"]);
    t.equal(of(public8, "range").result, "warning");
    const same = await doctor(a, ["--network", "192.0.0.0/16"]);
    t.match(of(same, "overlap").found, /192\.0\.2\.0\/24/);
    t.notOk(same.ok);
    const daemon = await a.startDaemon(onNode, [
      ...["init", "--network", "192.0.0.0/16", "--foreground"],
    ]);
    await daemon.ended;
    t.match(daemon.logTail(30).join("\n"), /or, if the two may meet, --allow-overlap/);
  });

  await found(a, onNode);
  await joinBy(b, onNode, a, await makeToken(a));
  await untilRouted([a, b]);

  await t.test("who comes in is told what there is to know", async (t) => {
    const said = () => readFileSync(b.logFile, "utf8");
    t.match(said(), /✓ preflight \d+ checks passed \(denim doctor\)/);
    await eventually("the probe", async () => said().includes("✓ packets") || undefined);
    t.match(said(), /✓ packets {3}a passes our containers' packets on/);
  });

  await t.test("where all is well, packets of containers arrive though there is none", async (t) => {
    const well = await doctor(a);
    t.same(well.findings.filter(({ result }) => result === "failed"), []);
    t.equal(of(well, "reach-b").found, "b passes our containers' packets on");
    t.match(of(well, "subnet-file").found, /10\.244\.1\.1\/24/);
    t.match(of(well, "servers").found, /1 other answer/);
    t.equal(of(await doctor(b), "reach-a").found, "a passes our containers' packets on");
  });

  await t.test("a peer that passes nothing on", async (t) => {
    await set(b, "net/ipv4/ip_forward", "0");
    t.match(of(await doctor(a), "reach-b").why, /answers for itself, but passes nothing on/);
    const there = await doctor(b);
    t.equal(of(there, "ip-forward").result, "failed");
    const fixed = await doctor(b, ["--fix"]);
    t.same(fixed.changed.map(({ path }) => path), ["net/ipv4/ip_forward"]);
    t.equal(of(fixed, "ip-forward").result, "ok", "mended, and looked at again");
    t.equal(of(await doctor(a), "reach-b").result, "ok");
  });

  await t.test("who comes in is told why nothing would arrive, though its routes are in", async (t) => {
    await set(b, "net/ipv4/ip_forward", "0");
    const c = await lab.addHost("c");
    await joinBy(c, onNode, a, await makeToken(a, 1, ["--role", "agent"]));
    await untilRouted([a, b, c]);
    const said = await eventually("the end of the join", async () => {
      const text = readFileSync(c.logFile, "utf8");
      return text.includes("Look around") ? text : undefined;
    });
    t.match(said, /✓ packets {3}a passes our containers' packets on/);
    t.match(said, /reach-b: [^]*why: .*answers for itself, but passes nothing on: .*\n +fix: /);
    await typed(c, ["leave", "--yes"]);
    await c.daemon!.ended;
    await set(b, "net/ipv4/ip_forward", "1");
  });

  await t.test("without rights it says what it could not try", async (t) => {
    const program = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", ...onNode];
    const { status, out, err } = await runInside(a, ["doctor", "--json"], {}, program);
    t.equal(status, 0, err);
    t.match(of(JSON.parse(out), "reach").found, /could not be tried/);
  });

  await t.test("a network that drops containers' addresses", async (t) => {
    const rule = `from ${await subnetOf(a)} blackhole priority 100`;
    await ip(`-n ${b.namespace} rule add ${rule}`);
    const { found, why } = of(await doctor(a), "reach-b");
    t.equal(found, "b answers this host, but not its containers");
    t.match(why, /packets from 10\.244\.1\.0\/24 are dropped/);
    await ip(`-n ${b.namespace} rule del ${rule}`);
  });

  await t.test("Docker 28 keeps other hosts away from its containers", {
    skip: spawnSync("iptables", ["--version"]).error === undefined ? false : "needs iptables",
  }, async (t) => {
    const rule = "PREROUTING -d 10.244.1.2 ! -i docker0 -j DROP";
    const raw = (verb: string) => inside(a, `iptables -t raw ${verb} ${rule}`);
    await raw("-A");
    t.match(of(await doctor(a), "docker-raw").found, /10\.244\.1\.2\/32/);
    await raw("-D");
    t.notOk(of(await doctor(a), "docker-raw").found);
  });

  await t.test("a peer that is not there", async (t) => {
    await ip(`-n ${b.namespace} link set eth0 down`);
    await ip(`-n ${a.namespace} neigh flush dev eth0`);
    t.match(of(await doctor(a), "reach-b").why, /nobody on this link answers for 192\.0\.2\.2/);
  });
});
