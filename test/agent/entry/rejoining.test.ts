/** Whole nodes over real files and TLS on loopback, whose stores are damaged while they are down. */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import t from "tap";
import { ERRORS, isDenimError } from "../../../src/base/errors.ts";
import { Store } from "../../../src/store/store.ts";
import { until } from "../../support/fast-clock.ts";
import { onNode } from "../../support/lab.ts";
import { cannotUnshare, inNamespace, ip } from "../../support/namespace.ts";
import { FOUND, RealHost, threeVoters } from "../../support/real-host.ts";

/** Flips one bit of the newest such file, where an opened store would notice it. */
async function flipBit(folder: string, kind: RegExp): Promise<string> {
  const name = readdirSync(folder).filter((name) => kind.test(name)).sort().at(-1)!;
  const whole = readFileSync(join(folder, name));
  for (let at = Math.floor(whole.length / 4); at < whole.length; at += 13) {
    const bytes = Uint8Array.from(whole);
    bytes[at] = bytes[at]! ^ 4;
    const trial = `${folder}.trial`;
    rmSync(trial, { recursive: true, force: true });
    cpSync(folder, trial, { recursive: true });
    writeFileSync(join(trial, name), bytes);
    const error = await Store.open(trial)
      .then((store) => store[Symbol.asyncDispose](), (error: unknown) => error);
    rmSync(trial, { recursive: true, force: true });
    if (!isDenimError(error, "STORE_DAMAGED")) continue;
    writeFileSync(join(folder, name), bytes);
    return `a bit of ${name} at ${at}`;
  }
  throw new Error(`no bit of ${name} matters`);
}

const HARM: Readonly<Record<string, (folder: string) => unknown>> = {
  "a bit of the log": (folder) => flipBit(folder, /\.log$/),
  "a bit of a table": (folder) => flipBit(folder, /\.ldb$/),
  "a bit of the manifest": (folder) => flipBit(folder, /^MANIFEST/),
  "a table that is cut": (folder) => {
    const name = readdirSync(folder).filter((name) => name.endsWith(".ldb")).sort().at(-1)!;
    truncateSync(join(folder, name), 40);
  },
  "no head": (folder) => rmSync(join(folder, "CURRENT")),
  "no store": (folder) => rmSync(folder, { recursive: true }),
};

t.test("one of three, whatever its files have suffered, comes back by itself", async (t) => {
  const [first, second, third] = await threeVoters(t);
  const { subnet } = third;
  const nodeId = third.node.record.nodeId;
  for (const [name, harm] of Object.entries(HARM)) {
    const before = third.node.control.replica!.raftId;
    await third.stop();
    await first.node.control.cluster.propose({ kind: "tick" });
    await harm(third.store);
    const asides = third.asides.length;
    await third.start();
    await until(`${name}: it votes again`, () => third.votes);
    t.ok(third.node.control.replica!.raftId > before, `${name}: under a new raft id`);
    t.equal(third.asides.length, asides + 1, `${name}: is kept aside`);
    await until("it holds its lease", () => third.subnet === subnet);
    t.equal(third.node.record.nodeId, nodeId);
  }
  const told = third.log.lines.filter((line) => /was set aside.*store\.aside-20/.test(line));
  t.equal(told.length, third.asides.length, "and is told where");
  await until(
    "all have one state",
    () => new Set([first, second, third].map(({ node }) => node.control.digest)).size === 1,
  );
});

t.test("the only voter stops, and says what is wrong and what to do", {
  skip: cannotUnshare,
}, async (t) => {
  const host = await RealHost.enter(t, 1, FOUND);
  await until("it leads", () => host.node.control.replica?.leads === true);
  await host.stop();
  const where = await flipBit(host.store, /\.log$/);
  const names = readdirSync(host.store);
  await t.rejects(host.start(), { code: "STORE_DAMAGED", why: /no other server is known/ });

  inNamespace(t as never);
  ip("link set lo up");
  const [program, ...words] = onNode;
  const flags = ["--state-dir", host.folder, "--api-port", "off", "--iface", "lo"];
  const files = ["--socket", join(host.folder, "s"), "--subnet-file", join(host.folder, "e")];
  const run = spawnSync(program!, [...words, "run", ...flags, ...files], {
    encoding: "utf8",
    env: process.env,
    timeout: 90_000,
  });
  t.equal(run.status, ERRORS.STORE_DAMAGED.exit, where);
  t.match(run.stderr, /The store is damaged, and this node stays down/);
  t.match(run.stderr, /why .*is damaged at byte \d+; and no other server is known/);
  t.match(run.stderr, /fix .*denim rejoin HOST.*from a backup/s);
  t.same(host.asides, [], "nothing is set aside");
  t.same(readdirSync(host.store), names, "and nothing touched");
  t.ok(existsSync(join(host.folder, "identity", "ca-key.pem")));
});

t.test("a store that another cluster's node had is none of this one's", async (t) => {
  const hosts = [];
  for (const number of [1, 2]) {
    const host = await RealHost.enter(t, number, FOUND);
    await host.stop();
    hosts.push(host);
  }
  const [one, other] = hosts as [RealHost, RealHost];
  rmSync(one.store, { recursive: true });
  cpSync(other.store, one.store, { recursive: true });
  await t.rejects(one.start(), { code: "STORE_DAMAGED", why: /another cluster's/ });
  t.same(one.asides, []);
});
