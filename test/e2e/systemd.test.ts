/** Denim as a service: what systemd hears, what a person types, and what Docker makes of it. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import t, { type Test } from "tap";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";
import { Booted, cannotBoot } from "../support/booted.ts";
import {
  cannotLab,
  eventually,
  found,
  makeLab,
  makeToken,
  NETWORK,
  onDeno,
  onNode,
  ownRoutes,
  singleBinary,
} from "../support/lab.ts";
import { NotifyListener } from "../support/notify-listener.ts";

/** Where the container has the binary: its `/usr` is this machine's. */
const DENIM = "/opt/denim/denim";

const options = { timeout: 600_000 };

t.test("ready is said after the lease, the routes and the file", {
  skip: cannotLab,
  ...options,
}, async (t) => {
  const program = process.versions["deno"] === undefined ? onNode : onDeno;
  const lab = await makeLab(t);
  const [a, b] = [await lab.addHost("a"), await lab.addHost("b")];
  await found(a, onNode);
  const tokenFile = join(b.folder, "token");
  writeFileSync(tokenFile, await makeToken(a));
  await a.daemon!.stop();

  const listener = await NotifyListener.open(t);
  const words = ["run", "--join", a.address, "--token-file", tokenFile];
  const env = { NOTIFY_SOCKET: listener.path, WATCHDOG_USEC: "900000" };
  const daemon = await b.startDaemon(program, words, env);
  await eventually("a first word", async () => listener.messages().length > 0 || undefined);
  t.match(listener.messages()[0]!, /^STATUS=not ready: this host is in no cluster yet/);
  t.equal(listener.count("READY=1"), 0);
  t.notOk(existsSync(b.subnetFile));

  await a.startDaemon(onNode, ["run"]);
  await eventually("READY=1", async () => listener.count("READY=1") > 0 || undefined);
  t.match(readFileSync(b.subnetFile, "utf8"), /^FLANNEL_SUBNET=10\.244\.2\.1\/24$/m);
  t.same(await ownRoutes(b), ["10.244.1.0/24 via 192.0.2.1 dev eth0"]);
  const before = listener.count("WATCHDOG=1");
  await eventually(
    "keep-alives",
    async () => listener.count("WATCHDOG=1") > before + 2 || undefined,
  );

  process.kill(daemon.pid, "SIGSTOP");
  await eventually("it hangs", async () =>
    /^State:\sT/m.test(
      readFileSync(`/proc/${daemon.pid}/status`, "utf8"),
    ) || undefined);
  const hung = listener.messages().length;
  await eventually("three times the watchdog's time", async () => pastMs(3_000) || undefined);
  t.equal(listener.messages().length, hung, "nothing is said for a daemon that hangs");
  process.kill(daemon.pid, "SIGCONT");
  await eventually("it lives", async () => listener.messages().length > hung + 1 || undefined);
  await daemon.stop();
  const last = listener.messages().at(-1)!;
  t.match(last, /^STOPPING=1\n/);
  t.equal(listener.count("READY=1"), 1);
});

let pastSinceMs: number | undefined;

/** True once it has been asked for so long. */
function pastMs(durationMs: number): boolean {
  pastSinceMs ??= performance.now();
  if (performance.now() - pastSinceMs < durationMs) return false;
  pastSinceMs = undefined;
  return true;
}

async function bootHosts(t: Test, ...names: readonly string[]): Promise<[Lab, ...Service[]]> {
  const lab = await makeLab(t);
  const [binary] = await singleBinary();
  const services: Service[] = [];
  for (const name of names) {
    const host = await lab.addHost(name);
    services.push({ host, machine: await Booted.boot(t, host, { files: { [DENIM]: binary! } }) });
  }
  return [lab, ...services];
}

interface Service {
  readonly host: Host;
  readonly machine: Booted;
}

t.test("init and join hand over to systemd, and uninstall takes it away", {
  skip: cannotBoot(),
  ...options,
}, async (t) => {
  const [, a, b] = await bootHosts(t, "a", "b");
  const made = await a!.machine.type(
    DENIM,
    "init",
    "--network",
    NETWORK,
    "--name",
    "a",
    "--zone",
    "x",
  );
  t.equal(made.status, 0, made.err);
  t.match(made.err, /✓ service +denim\.service: ready/);
  t.equal(await a!.machine.show("denim", "ActiveState"), "active");
  t.equal(await a!.machine.show("denim", "UnitFileState"), "enabled");
  t.match(await a!.machine.show("denim", "StatusText"), /^10\.244\.1\.0\/24 · .* · leader a$/);
  t.match(await a!.machine.does("cat", "/etc/denim/denim.env"), /^DENIM_ZONE=x$/m);
  t.match(await a!.machine.does(DENIM, "status"), /zone x/, "the service was told, too");

  const token = /token: (\S+)/.exec(made.err)![1]!;
  const joined = await b!.machine.typeWith(
    { DENIM_TOKEN: token },
    ...[DENIM, "join", a!.host.address, "--name", "b"],
  );
  t.equal(joined.status, 0, joined.err);
  t.match(joined.err, /✓ service +denim\.service: ready/);
  t.notOk((await b!.machine.does("cat", "/etc/denim/denim.env")).includes(token));
  await eventually("routes", async () => (await ownRoutes(a!.host)).length === 1 || undefined);
  t.match(await b!.machine.does("ip", "route", "show"), /10\.244\.1\.0\/24 .* proto denim/);

  const pid = await b!.machine.show("denim", "MainPID");
  await b!.machine.does("mkdir", "-p", "/run/systemd/system/denim.service.d");
  const hasty =
    "printf '[Service]\\nWatchdogSec=10\\n' > /run/systemd/system/denim.service.d/t.conf";
  await b!.machine.does("sh", "-c", hasty);
  await b!.machine.does("systemctl", "daemon-reload");
  await b!.machine.does("systemctl", "restart", "denim");
  t.not(await b!.machine.show("denim", "MainPID"), pid);
  t.same(await ownRoutes(b!.host), ["10.244.1.0/24 via 192.0.2.1 dev eth0"]);
  await b!.machine.does("systemctl", "kill", "--signal=STOP", "denim");
  await eventually("systemd has ended the one that hangs, and begun another", async () => {
    const state = await b!.machine.show("denim", "ActiveState");
    const restarts = Number(await b!.machine.show("denim", "NRestarts"));
    return restarts > 0 && state === "active" || undefined;
  }, 100_000);
  t.match(await b!.machine.does("journalctl", "-u", "denim"), /Watchdog timeout/);
  t.same(await ownRoutes(b!.host), ["10.244.1.0/24 via 192.0.2.1 dev eth0"]);

  const early = await b!.machine.type(DENIM, "uninstall");
  t.equal(early.status, 7, early.err);
  t.match(early.err, /This host is in a cluster/);
  t.equal(await b!.machine.show("denim", "ActiveState"), "active");
  await b!.machine.does(DENIM, "leave", "--yes");
  await eventually(
    "it has ended",
    async () => await b!.machine.show("denim", "ActiveState") === "inactive" || undefined,
  );
  t.match(
    await b!.machine.does(DENIM, "uninstall"),
    /removed \/etc\/systemd\/system\/denim\.service/,
  );
  t.equal(await b!.machine.show("denim", "LoadState"), "not-found");
  for (const path of ["etc/denim", "var/lib/denim", "etc/iproute2/rt_protos.d"]) {
    t.notOk(existsSync(join(b!.machine.root, path)), path);
  }
  const kept = await a!.machine.does(DENIM, "uninstall", "--keep-state");
  t.match(kept, /removed \/etc\/denim\/denim\.env/);
  t.ok(existsSync(join(a!.machine.root, "var/lib/denim/identity/node.json")));
});

t.test("what is refused leaves a service that waits as it was, and a host out of the cluster", {
  skip: cannotBoot(),
  ...options,
}, async (t) => {
  const [, a] = await bootHosts(t, "a");
  const waits = () =>
    eventually("it waits for a cluster", async () => {
      const state = await a!.machine.show("denim", "ActiveState");
      const text = await a!.machine.show("denim", "StatusText");
      return state === "activating" && text.includes("in no cluster yet") || undefined;
    });
  await a!.machine.does(DENIM, "install");
  await a!.machine.does("systemctl", "start", "--no-block", "denim");
  await waits();
  const stranger = await a!.machine.typeWith(
    { DENIM_TOKEN: "no-token" },
    DENIM,
    "join",
    "192.0.2.9",
  );
  t.equal(stranger.status, 2, stranger.err);
  await waits();
  await a!.machine.does("systemctl", "stop", "denim");
  t.equal(await a!.machine.show("denim", "ActiveState"), "inactive", "a stop is no failure");
  await a!.machine.does(DENIM, "uninstall");
  const unit = join(a!.machine.root, "etc/systemd/system/denim.service");
  writeFileSync(unit, "[Service]\nExecStart=/bin/true\n");
  const refused = await a!.machine.type(DENIM, "init");
  t.equal(refused.status, 7, refused.err);
  t.match(refused.err, /denim\.service was not written by Denim/);
  t.notOk(existsSync(join(a!.machine.root, "var/lib/denim")));
  t.equal(readFileSync(unit, "utf8"), "[Service]\nExecStart=/bin/true\n");
});

t.test("dockerd waits for the first lease, and outlives restarts and upgrades", {
  skip: cannotBoot("/usr/sbin/dockerd", "/lib/systemd/system/docker.service"),
  ...options,
}, async (t) => {
  const [, a] = await bootHosts(t, "a");
  const { machine } = a!;
  await machine.does("mkdir", "-p", "/etc/default");
  await machine.does("sh", "-c", "echo DOCKER_OPTS=--debug=false > /etc/default/docker");
  await machine.does(DENIM, "install", "--name", "a", "--state-dir", "/srv/denim");
  await machine.does(DENIM, "install", "--subnet-file", "/run/denim/subnet.env");
  await machine.does(DENIM, "install", "--docker");
  await machine.does("systemctl", "start", "--no-block", "docker");
  await eventually(
    "Denim waits for a cluster",
    async () =>
      (await machine.show("denim", "StatusText")).includes("in no cluster yet") || undefined,
  );
  t.equal(await machine.show("docker", "ActiveState"), "inactive", "its start waits for Denim's");
  await machine.does("systemctl", "stop", "denim");
  await eventually(
    "the drop-in waits when Denim is away, too",
    async () => await machine.show("docker", "SubState") === "start-pre" || undefined,
  );

  const made = await machine.type(DENIM, "init", "--network", NETWORK);
  t.equal(made.status, 0, made.err);
  await eventually(
    "dockerd",
    async () => await machine.show("docker", "ActiveState") === "active" || undefined,
  );
  t.ok(existsSync(join(machine.root, "srv/denim/identity/node.json")), "as installed");
  t.match(await machine.does(DENIM, "node"), /^a /m, "by the name that was installed");
  const pid = await machine.show("docker", "MainPID");
  const commandLine = (await machine.does("cat", `/proc/${pid}/cmdline`)).split("\0");
  t.ok(commandLine.includes("--bip=10.244.1.1/24"), commandLine.join(" "));
  t.ok(commandLine.includes("--debug=false"), "what was in the variable stays");
  t.match(await machine.does("ip", "-4", "addr", "show", "docker0"), /inet 10\.244\.1\.1\/24 /);

  const twice = ["env", "docker", "--form", "daemon.json", "--write"];
  const said = await machine.type(DENIM, ...twice, "--subnet-file", "/run/denim/subnet.env");
  t.equal(said.status, 2, said.err);
  t.match(said.err, /dockerd has this host's subnet by its unit/);
  t.notOk(existsSync(join(machine.root, "etc/docker/daemon.json")), "dockerd would not start");

  const denim = await machine.show("denim", "MainPID");
  await machine.does("systemctl", "restart", "denim");
  t.not(await machine.show("denim", "MainPID"), denim);
  await machine.does("cp", DENIM, `${DENIM}.new`);
  await machine.does("mv", `${DENIM}.new`, DENIM);
  await machine.does("systemctl", "restart", "denim");
  await machine.does("systemctl", "kill", "--signal=KILL", "denim");
  await eventually("Denim is back", async () =>
    await machine.show("denim", "NRestarts") === "1" &&
      await machine.show("denim", "ActiveState") === "active" || undefined);
  await machine.does("systemctl", "stop", "denim");
  t.equal(await machine.show("docker", "MainPID"), pid, "dockerd is the same all along");
  t.equal(await machine.show("docker", "NRestarts"), "0");

  await machine.does("systemctl", "restart", "docker");
  const again = await machine.show("docker", "MainPID");
  const words = (await machine.does("cat", `/proc/${again}/cmdline`)).split("\0");
  t.equal(words.filter((word) => word.startsWith("--bip=")).length, 1, words.join(" "));
  t.equal(await machine.show("denim", "ActiveState"), "active", "dockerd wants Denim");
});
