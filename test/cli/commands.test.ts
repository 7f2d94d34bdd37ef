/** What a person types, what the daemon is asked, and what is shown. */
import { lstatSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import t, { type Test } from "tap";
import { createApi } from "../../src/api/app.ts";
import { listenOnSocket } from "../../src/api/listen.ts";
import type { Service } from "../../src/api/service.ts";
import { systemClock } from "../../src/base/clock.ts";
import { DenimError, type ErrorCode, ERRORS } from "../../src/base/errors.ts";
import { silentLogger } from "../../src/base/log.ts";
import { run } from "../../src/cli/program.ts";
import { seededRandom } from "../../src/base/random.ts";
import { createToken, encodeToken } from "../../src/transport/token.ts";
import { backupText } from "../support/backup.ts";
import { FakeService, SECRET, STATUS } from "../support/fake-service.ts";
import { temporaryFolder } from "../support/folders.ts";

// Whoever runs the tests at a terminal is not to be asked.
Object.defineProperty(process.stdin, "isTTY", { value: false, configurable: true });

interface Said {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

class Machine {
  readonly service = new FakeService();
  readonly folder: string;
  readonly socket: string;
  env: Record<string, string> = {};

  constructor(t: Test) {
    this.folder = temporaryFolder(t);
    this.socket = join(this.folder, "denim.sock");
  }

  static async open(t: Test): Promise<Machine> {
    const machine = new Machine(t);
    const service: Service = machine.service;
    const app = createApi({ service, clock: systemClock(), logger: silentLogger, rights: "all" });
    const listener = await listenOnSocket(app, machine.socket);
    t.teardown(() => listener[Symbol.asyncDispose]());
    return machine;
  }

  async type(...words: readonly string[]): Promise<Said> {
    let [out, err] = ["", ""];
    const io = {
      out: (text: string) => void (out += text),
      err: (text: string) => void (err += text),
      widthMax: undefined,
      env: this.env,
    };
    const context = { io, version: "1.2.3", backends: [] };
    const status = await run([...words, "--socket", this.socket], context);
    return { status, out, err };
  }
}

const READS: readonly (readonly [string, RegExp, string])[] = [
  [
    "status",
    /^host0 · amber-arch · leader · zone rack1 · denim 0\.1\.0\n {2}lease {5}10\.5\.1\.0\/24 {3}held/,
    "lease",
  ],
  [
    "node list",
    /^NODE +ROLE +ZONE +SUBNET[^]*\nhost0 \* +leader +rack1 +10\.5\.1\.0\/24[^]*host1[^]* silent /,
    "items",
  ],
  ["node ls", /^NODE/, "items"],
  ["node", /^NODE/, "items"],
  ["node show host1", /host1 +agent/, "id"],
  [
    "lease list",
    /^SUBNET +NODE[^]*\n10\.5\.2\.0\/24 +host1 +192\.168\.0\.1 +host-gw +yes +1 h/,
    "reservations",
  ],
  [
    "lease ls",
    /\n10\.5\.7\.0\/24 [ –]+for token abcd1234[^]*8\.0\/24 [ –]+host0 moves here[^]*for nobody/,
    "items",
  ],
  ["lease", /^SUBNET/, "items"],
  ["lease list --contains 10.5.2.9", /^SUBNET.*\n10\.5\.2\.0\/24.*\n$/, "items"],
  ["lease show 10.5.1.0/24", /host0/, "subnet"],
  [
    "lease reserve 10.5.9.0/24 --node db",
    /^10\.5\.9\.0\/24 is reserved: only db gets it\n$/,
    "subnet",
  ],
  ["lease reserve 10.5.9.0/24", /nobody gets it\n$/, "subnet"],
  ["lease release 10.5.9.0/24", /^10\.5\.9\.0\/24 is reserved no more\n$/, "subnet"],
  [
    "lease move host1 10.5.9.0/24 --yes",
    /^host1 changes over to 10\.5\.9\.0\/24[^]*addresses of 10\.5\.2\.0\/24 until you start them/,
    "from",
  ],
  ["route", /^DESTINATION +VIA[^]*\n10\.5\.2\.0\/24 +192\.168\.0\.1 +eth0 +failed +why\n/, "items"],
  ["route host1", /^DESTINATION/, "items"],
  ["network", /"Network": "10\.5\.0\.0\/16"[^]*\nrevision 4\nwarning: careful\n$/, "config"],
  ["network show", /revision 4/, "text"],
  [
    "token list",
    /^ID +NAME[^]*\nabcd1234 +– +server +usable +any .* from 192.0.2.0\/24; ephemeral\n/,
    "items",
  ],
  ["node rm host1", /^name of host1 is out\n$/, "name"],
  ["node rm host1 --force", /^name of host1 is out\n[^]*denim ca rotate\n$/, "wasServer"],
  [
    "node promote host1",
    /^host1 is agent; it becomes voter as soon as that costs no vote\n$/,
    "id",
  ],
  ["node demote host1", /^host1 is agent, and stays so\n$/, "preferred"],
  ["node auto host1", /^host1 is agent, and Denim decides what it will be\n$/, "preferred"],
  ["cluster set voters 5", /^The cluster aims for 5 voters\.\n$/, "voters"],
  [
    "cluster upgrade",
    /^feature level +1\nevery node can +2\nbehind +host1, denim 0\.1\.0, supports up to 2 of 3\nraise it +denim/,
    "behind",
  ],
  ["cluster upgrade --finalize", /^feature level +3\nevery node can +3\n$/, "level"],
  ["ca", /^CA +SIGNS +EXPIRES\na{40} +yes +2036-11-26/, "cas"],
  ["ca rotate --no-wait", /^CA +SIGNS/, "rotation"],
  ["ca rotate", /^The CA is a{40} now, until 2036[^]*are void \(1\)/, "tokensVoid"],
  ["token revoke abcd1234", /^abcd1234 is revoked\n$/, "revoked"],
  [
    "cluster release-hold --accept-risk",
    /^The hold is over: 2 leases go on, 1 end unless they are claimed\.\n$/,
    "claimed",
  ],
  ["leave --yes", /^This host has left; 10\.5\.1\.0\/24 is free again\.\n$/, "subnets"],
  ["leave --yes --keep-lease", /10\.5\.1\.0\/24 is set aside for it\.\n$/, "subnets"],
];

t.test("who leaves is told what stays on the host", async (t) => {
  const machine = await Machine.open(t);
  machine.service.stays = ["10.5.2.0/24: SubnetRemoveCommand did not end within 10 s: \x1b[2J"];
  const { status, out } = await machine.type("leave", "--yes");
  t.equal(status, 0);
  t.match(
    out,
    /\n! stays here: 10\.5\.2\.0\/24: SubnetRemoveCommand did not end within 10 s: \ufffd\[2J\n$/,
  );
});

t.test("drift is what is not as it should be, and a failure", async (t) => {
  const machine = await Machine.open(t);
  const shown = await machine.type("route", "--drift");
  t.equal(shown.status, 9);
  t.match(
    shown.out,
    /^DESTINATION +STATE +WANTED +KERNEL +WHY\n10\.5\.2\.0\/24 +failed +10\.5\.2\.0\/24 via .* why\n$/,
  );
  t.match(shown.err, /1 of 1 routes drift[^]*CHECKS_FAILED/);
});

t.test("each command has a text for people and one JSON document for programs", async (t) => {
  const machine = await Machine.open(t);
  for (const [line, text, member] of READS) {
    const shown = await machine.type(...line.split(" "));
    t.same([shown.status, shown.err], [0, ""], line);
    t.match(shown.out, text, line);
    const json = await machine.type(...line.split(" "), "--json");
    t.ok(member in JSON.parse(json.out), line);
  }
  machine.env = { DENIM_OUTPUT: "json" };
  t.ok("items" in JSON.parse((await machine.type("node")).out));
});

t.test("a change of the CA says whom it waits for until it is through", async (t) => {
  const machine = await Machine.open(t);
  const { service } = machine;
  const now = service.ca();
  const next = "bb".repeat(20);
  const step = (phase: "spreading" | "renewing", missing: readonly string[], tokens: number) => ({
    ...{ ...now, nodes: 3, tokens },
    rotation: {
      ...{ phase, former: now.signer.id, next },
      missing: missing.map((name) => ({ name, silent: name === "web3" })),
    },
  });
  const steps = [
    step("spreading", ["web2", "web3"], 2),
    step("renewing", ["web3"], 0),
    { ...now, signer: { ...now.signer, id: next } },
  ];
  service.ca = () => steps.length > 1 ? steps.shift()! : steps[0]!;
  const { status, out, err } = await machine.type("ca", "rotate", "--leave-silent");
  t.equal(status, 0);
  t.ok(service.calls.includes("rotate true"));
  t.match(
    err,
    new RegExp(`1 of 3 nodes believe the new CA ${next}; waiting for web2, web3 .silent.`),
  );
  t.match(err, /2 of 3 nodes have a certificate of it; waiting for web3/);
  t.match(out, new RegExp(`^The CA is ${next} now[^]*void \\(2\\)`));
});

t.test("a backup takes the place of a file, and of nothing else", async (t) => {
  const machine = await Machine.open(t);
  machine.service.backupText = backupText();
  const link = join(machine.folder, "link");
  symlinkSync("/dev/null", link);
  for (const special of [link, machine.folder]) {
    const refused = await machine.type("backup", special);
    t.same([refused.status, refused.out], [2, ""]);
    t.match(refused.err, /is not a file that a backup could replace/);
  }
  t.ok(lstatSync(link).isSymbolicLink());
  t.notOk(machine.service.calls.some((call) => call.startsWith("backup")));
});

t.test("a backup is for its owner only, whole, and shows what it has", async (t) => {
  const machine = await Machine.open(t);
  const file = join(machine.folder, "backup");
  const text = backupText();
  machine.service.backupText = text;
  const made = await machine.type("backup", file);
  t.same([made.status, made.err], [0, ""]);
  t.match(made.out, /test \(c1\)[^]*3 nodes, 3 leases[^]*not in it/);
  t.same([readFileSync(file, "utf8"), statSync(file).mode & 0o777], [text, 0o600]);
  const json = await machine.type("backup", "--inspect", file, "--json");
  t.equal(JSON.parse(json.out).cluster.name, "test");
  machine.env = { DENIM_PASSPHRASE: "correct horse" };
  await machine.type("backup", file, "--with-ca");
  t.equal(machine.service.calls.at(-1), "backup correct horse");
  machine.env = { DENIM_PASSPHRASE: "short" };
  t.match((await machine.type("backup", file, "--with-ca")).err, /too short/);
  machine.env = {};
  const asked = await machine.type("backup", file, "--with-ca");
  t.match(asked.err, /no terminal[^]*--passphrase-file FILE or in DENIM_PASSPHRASE/);
  writeFileSync(file, text.replace("host1", "host7"));
  const changed = await machine.type("backup", "--inspect", file);
  t.equal(changed.status, ERRORS.BACKUP_DAMAGED.exit);
  t.match(changed.err, /cut off or changed/);
});

t.test("without a leader the first screen says who is missing, and what to type", async (t) => {
  const machine = await Machine.open(t);
  const quorum = {
    ...{ voters: 3, reachable: 1, needed: 2, missing: ["web1", "web3"] },
    fix: "start web1 or web3",
  };
  const cluster = { ...STATUS.cluster!, leader: null, quorum };
  machine.service.view = { ...STATUS, cluster };
  const { out } = await machine.type("status");
  t.match(out, /cluster +no leader · 2 nodes/);
  t.match(
    out,
    /! no leader: 1 of 3 voters reachable \(need 2\)\. Routes on this host are kept; no /,
  );
  t.match(out, / {2}fix: start web1 or web3\n/);
});

t.test("what is not well is on the first screen", async (t) => {
  const machine = await Machine.open(t);
  const lease = {
    state: "fenced",
    subnets: ["10.5.1.0/24"],
    trustedForMs: 0,
    why: "taken",
  } as const;
  const checks = [{ name: "lease", ok: false, why: "taken" }];
  machine.service.view = { ...STATUS, lease, ready: false, checks };
  const { out } = await machine.type("status");
  t.match(out, /10\.5\.1\.0\/24 {3}fenced: taken\n/);
  t.match(out, /\n! lease: taken\nnot ready\n$/);
  const note = { name: "hold", ok: true, why: "it was recovered" };
  machine.service.view = { ...STATUS, checks: [...STATUS.checks, note] };
  t.match((await machine.type("status")).out, /\n! hold: it was recovered\nready\n$/);
  const dataPlane = { ...STATUS.dataPlane, mode: "add-only", routes: {} } as const;
  machine.service.view = { ...STATUS, cluster: { ...STATUS.cluster!, leader: null }, dataPlane };
  const lost = (await machine.type("status")).out;
  t.match(lost, /a leader 120 ms ago/);
  t.match(lost, /none · only adding/);
  machine.service.view = { ...STATUS, cluster: null };
  t.match((await machine.type("status")).out, /cluster {3}none/);
});

t.test("a hold is not ended by who has not heard of the risk", async (t) => {
  const machine = await Machine.open(t);
  const { status, err } = await machine.type("cluster", "release-hold");
  t.equal(status, 2);
  t.match(err, /Two hosts may come to use the same subnet/);
  t.match(err, /--accept-risk/);
  t.same(machine.service.calls, []);
});

t.test("every kind of failure has its exit status, its words, and its JSON", async (t) => {
  const machine = await Machine.open(t);
  const codes: ErrorCode[] = [
    ...["NOT_FOUND", "READ_ONLY", "PEER_UNREACHABLE", "NO_LEADER", "NETWORK_IN_USE"] as const,
    ...["OUTCOME_UNKNOWN", "OVERLOADED", "CONFIG_INVALID", "CHECKS_FAILED"] as const,
  ];
  for (const code of codes) {
    machine.service.nodes = () =>
      Promise.reject(new DenimError(code, "no", { why: "w", fix: "f" }));
    const { status, out, err } = await machine.type("node");
    t.same([status, out], [ERRORS[code].exit, ""], code);
    t.equal(err, `error: no\n  why   w\n  fix   f\n  code  ${code}\n`);
    const json = JSON.parse((await machine.type("node", "--json")).err);
    t.same(json.error, { code, message: "no", why: "w", fix: "f", exit: ERRORS[code].exit });
  }
});

t.test("without a daemon every command says how to get one", async (t) => {
  const machine = new Machine(t);
  for (const [line] of READS) {
    const { status, err } = await machine.type(...line.split(" "));
    t.equal(status, 5, line);
    t.match(err, /denim run[^]*code {2}DAEMON_UNREACHABLE/, line);
  }
});

t.test("a token is shown once, by itself where a program asks for it", async (t) => {
  const machine = await Machine.open(t);
  const { out } = await machine.type("token", "create");
  t.match(
    out,
    new RegExp(
      `Becomes a server; good until 2030-01-01\\.\\n.*denim join 192.168.0.0\\n.*${SECRET}`,
    ),
  );
  t.equal((await machine.type("token", "create", "-q")).out, `${SECRET}\n`);
  const loose = ["--role", "agent", "--uses", "unlimited", "--ttl", "7d"];
  await machine.type("token", "create", ...loose, "--yes");
  const asked = JSON.parse(machine.service.calls.at(-1)!.replace("token ", ""));
  t.same(asked, { role: "agent", uses: null, ttlMs: 7 * 86_400_000 });
  for (const [flag, value] of [["--role", "king"], ["--uses", "0"], ["--ttl", "soon"]] as const) {
    const { status, err } = await machine.type("token", "create", flag, value);
    t.equal(status, 2);
    t.match(err, /code {2}USAGE/);
  }
});

t.test("no other command shows a secret", async (t) => {
  const machine = await Machine.open(t);
  for (const [line] of READS) {
    for (const more of [[], ["--json"]]) {
      const { out, err } = await machine.type(...line.split(" "), ...more);
      t.notOk((out + err).includes(SECRET), line);
    }
  }
});

t.test("what a token says can be seen without showing its secret", async (t) => {
  const token = createToken("agent", new Uint8Array(20), seededRandom(1));
  const machine = new Machine(t);
  const file = join(machine.folder, "token");
  writeFileSync(file, `${encodeToken(token)}\n`);
  let out = "";
  const io = {
    out: (text: string) => void (out += text),
    err: () => {},
    widthMax: undefined,
    env: {},
  };
  const context = { io, version: "1", backends: [] };
  t.equal(await run(["token", "inspect", file], context), 0);
  t.match(out, new RegExp(`id +${token.id}\nrole +agent\n`));
  t.notOk(out.includes(encodeToken(token).slice(-30)));
  writeFileSync(file, "denim1_short");
  t.equal(await run(["token", "inspect", file], context), 2);
});

t.test("a network is set as a block, as JSON or from a file, at a revision or at any", async (t) => {
  const machine = await Machine.open(t);
  const file = join(machine.folder, "network.json");
  writeFileSync(file, '{"Network":"10.7.0.0/16"}');
  await machine.type("network", "set", "10.6.0.0/16");
  await machine.type("network", "set", '{"Network":"10.6.0.0/16"}', "--revision", "5");
  await machine.type("network", "set", file);
  t.same(machine.service.calls.filter((call) => call.startsWith("set")), [
    'set {"Network":"10.6.0.0/16"} undefined',
    'set {"Network":"10.6.0.0/16"} 5',
    'set {"Network":"10.7.0.0/16"} undefined',
  ]);
  t.equal((await machine.type("network", "set", "10.6.0.0/16", "--revision", "1")).status, 7);
  const missing = await machine.type("network", "set", join(machine.folder, "none.json"));
  t.equal(missing.status, 2);
  t.match(missing.err, /CONFIG_INVALID/);
});

t.test("a token is for whom it is said to be, and says so", async (t) => {
  const machine = await Machine.open(t);
  const limits = ["--from", "192.0.2.0/24", "--from", "::1/128", "--subnet", "10.5.9.0/24"];
  const { out } = await machine.type("token", "create", ...limits, "--ephemeral", "--name", "r7");
  t.match(out, /Becomes an ephemeral agent with 10\.5\.9\.0\/24; good from 192\.0\.2\.0\/24, ::1/);
  const asked = JSON.parse(machine.service.calls.at(-1)!.replace("token ", ""));
  t.same(asked, {
    ...{ role: "agent", uses: 1, ttlMs: 3_600_000, name: "r7", ephemeral: true },
    ...{ from: ["192.0.2.0/24", "::1/128"], subnet: "10.5.9.0/24" },
  });
});

t.test("a token for everybody, or for long, is asked about first", async (t) => {
  const machine = await Machine.open(t);
  const cases = [
    [["--uses", "unlimited"], /bring in any number of hosts\n/],
    [["--ttl", "365d"], /bring in hosts for 365 d\n/],
    [["--ttl", "31d", "--uses", "unlimited"], /any number of hosts for 31 d\n/],
  ] as const;
  for (const [flags, warning] of cases) {
    const { status, err } = await machine.type("token", "create", ...flags);
    t.equal(status, 2);
    t.match(err, warning);
    t.match(err, /fix .*--yes/);
  }
  t.same(machine.service.calls, []);
  t.equal((await machine.type("token", "create", "--ttl", "30d")).status, 0);
});

t.test("a host is not renumbered by a slip of the finger", async (t) => {
  const machine = await Machine.open(t);
  const { status, err } = await machine.type("lease", "move", "host1", "10.5.9.0/24");
  t.equal(status, 2);
  t.match(err, /lose their network[^]*denim lease move host1 10\.5\.9\.0\/24 --yes/);
  t.same(machine.service.calls, []);
});

t.test("leaving is never a slip of the finger", async (t) => {
  const machine = await Machine.open(t);
  const { status, err } = await machine.type("leave");
  t.equal(status, 2);
  t.match(err, /denim leave --yes/);
  t.same(machine.service.calls, []);
});

t.test("an unattended host without a terminal is told where a token may come from", async (t) => {
  const machine = new Machine(t);
  const { status, err } = await machine.type("join", "192.0.2.1", "--foreground");
  t.equal(status, 2);
  t.match(err, /--token-file[^]*USAGE/);
  const file = await machine.type("join", "192.0.2.1", "--foreground", "--token-file", "/nowhere");
  t.equal(file.status, 2);
  t.match(file.err, /\/nowhere/);
});
