/** `denim demo`, as a newcomer types it: with root and without, to its end and interrupted. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import process from "node:process";
import t from "tap";
import { sendSignal } from "../../src/cli/lab/signal.ts";
import { cannotLab, eventually, onNode } from "../support/lab.ts";
import type { Test } from "../support/tap.ts";

/**
 * Root's identity with the rights of a plain user, who may not be able to read this folder. The one
 * right that stays lets user 0, as everybody may with an own number, be root in a user namespace.
 */
const PLAIN_USER = ["setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all"];
const options = { skip: cannotLab, timeout: 600_000 };

const cannotUserNamespace = cannotLab ||
  (spawnSync("setpriv", [...PLAIN_USER.slice(1), "unshare", "-Urmn", "true"]).status === 0
    ? false
    : "needs a kernel that gives user namespaces to everybody");

interface Outcome {
  readonly ok: boolean;
  readonly hosts: readonly { readonly subnet: string; readonly routes: readonly string[] }[];
  readonly api: string;
  readonly look: Readonly<Record<string, string>>;
}

/** A demo that runs beside the test, and is interrupted at its end at the latest. */
class Demo {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  #out = "";
  #err = "";

  constructor(t: Test, flags: readonly string[], before: readonly string[] = []) {
    const [program, ...words] = [...before, ...onNode, "demo", ...flags] as [string, ...string[]];
    this.child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"] });
    this.child.stdout!.on("data", (text) => void (this.#out += text));
    this.child.stderr!.on("data", (text) => void (this.#err += text));
    this.ended = once(this.child, "exit").then(([status]) => status as number | null);
    t.teardown(async () => {
      this.signal("SIGTERM");
      await this.ended;
    });
  }

  signal(name: NodeJS.Signals): void {
    const { pid, exitCode, signalCode } = this.child;
    if (exitCode === null && signalCode === null) sendSignal(pid!, name);
  }

  get said(): string {
    return this.#out + this.#err;
  }

  /** What it says with `--json`, once everything works. */
  async outcome(): Promise<Outcome> {
    return await eventually("the demo tells its outcome", async () => {
      if (this.child.exitCode !== null) throw new Error(`the demo has ended: ${this.said}`);
      return this.#out.endsWith("}\n") ? JSON.parse(this.#out) as Outcome : undefined;
    }, 300_000);
  }

  async has(text: string): Promise<void> {
    await eventually(`the demo says ${text}`, async () => {
      return this.said.includes(text) ? true : undefined;
    }, 300_000);
  }

  /** What carries this run's process id: namespaces, files, and processes by their words. */
  leftovers(): string[] {
    const mark = `denim-demo-${this.child.pid}-`;
    const names = existsSync("/run/netns") ? readdirSync("/run/netns") : [];
    const processes = globSync("/proc/[0-9]*/cmdline").filter((path) => {
      try {
        return readFileSync(path, "utf8").includes(mark);
      } catch {
        return false;
      }
    });
    return [...names, ...readdirSync(tmpdir()), ...processes.map((path) => `${path} ${mark}`)]
      .filter((name) => name.includes(mark));
  }
}

function ask(url: string, method = "GET"): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => void (text += part));
      answer.once("end", () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    asked.once("error", reject);
    asked.end();
  });
}

/** Runs a line that the demo has shown. */
function type(line: string, before: readonly string[] = []) {
  const [program, ...words] = [...before, ...line.split(" ")] as [string, ...string[]];
  const { status, stdout } = spawnSync(program, words, { encoding: "utf8", timeout: 90_000 });
  return { status, out: stdout };
}

t.test("it shows hosts that reach each other, and leaves the machine as it was", {
  ...options,
}, async (t) => {
  // A machine of its own, where nobody else makes links and names.
  const script = "mount -t tmpfs none /run && ip link set lo up && ip -br link && " +
    '"$@" && ip -br link && ls -A /run';
  const demo = [...onNode, "demo", "--once"];
  const { status, stdout, stderr } = spawnSync(
    "unshare",
    ["--mount", "--net", "sh", "-c", script, "sh", ...demo],
    { encoding: "utf8", timeout: 300_000 },
  );
  t.equal(status, 0, stderr);
  t.notOk(stdout.includes("✗"));
  t.match(stdout, /^a +leader +10\.244\.1\.0\/24 +10\.244\.2\.0\/24 via 192\.0\.2\.2 dev eth0/m);
  t.match(stdout, /^c +voter .*✓ [0-9.]+ ms +✓ [0-9.]+ ms +–$/m);
  const links = stdout.split("\n").filter((line) => /^\S+ +(UP|DOWN|UNKNOWN) /.test(line));
  const half = links.length / 2;
  t.same(links.slice(half), links.slice(0, half));
  t.match(stdout, /^Removed: 7 namespaces, 16 links, 6 processes, \S+\/denim-demo-\S+$/m);
  t.notOk(/^netns$/m.test(stdout), "not even the folder of names");
});

t.test("its API answers outside, what it shows can be typed, and Ctrl-C ends it", {
  ...options,
}, async (t) => {
  const demo = new Demo(t, ["--json"]);
  const { ok, api, look, hosts } = await demo.outcome();
  t.equal(ok, true);
  const leases = JSON.parse((await ask(`${api}/v1/leases`)).text);
  t.same(
    leases.items.map(({ subnet }: { subnet: string }) => subnet).sort(),
    hosts.map(({ subnet }) => subnet),
  );
  t.equal((await ask(`${api}/v1/nodes/b`, "DELETE")).status, 403, "nobody outside may write");
  t.equal((await ask(`${api}/v1/tokens`)).status, 404, "or read what lets a host in");
  t.match(type(look["host a"]!).out, /10\.244\.1\.0\/24/);
  t.match(type(look["inside b"]!).out, /10\.244\.1\.0\/24 via 192\.0\.2\.1 dev eth0 proto/);
  demo.signal("SIGINT");
  t.equal(await demo.ended, 0);
  t.same(demo.leftovers(), []);
});

t.test("without root it enters a user namespace, and the API is still outside", {
  ...options,
  skip: cannotUserNamespace,
}, async (t) => {
  const demo = new Demo(t, ["--json"], PLAIN_USER);
  const { ok, api, look, hosts } = await demo.outcome();
  t.equal(ok, true);
  t.same(hosts.map(({ routes }) => routes.length), [2, 2, 2]);
  t.equal(JSON.parse((await ask(`${api}/v1/leases`)).text).items.length, 3);
  t.match(type(look["inside b"]!, PLAIN_USER).out, /10\.244\.1\.0\/24 via 192\.0\.2\.1/);
  t.match(type(look["host a"]!, PLAIN_USER).out, /10\.244\.1\.0\/24/);
  demo.signal("SIGTERM");
  t.equal(await demo.ended, 0);
  t.same(demo.leftovers(), []);
});

t.test("whatever happens to the process outside, nothing stays inside", {
  ...options,
  skip: cannotUserNamespace,
}, async (t) => {
  const demo = new Demo(t, ["--json", "--hosts", "2"], PLAIN_USER);
  await demo.outcome();
  demo.signal("SIGKILL");
  await demo.ended;
  await eventually("all is gone", async () => demo.leftovers().length === 0 ? true : undefined);
  t.same(demo.leftovers(), []);
});

t.test("interrupted half-way, it removes what there is", options, async (t) => {
  const demo = new Demo(t, []);
  await demo.has("✓ a: denim init");
  demo.signal("SIGTERM");
  t.equal(await demo.ended, 130);
  t.match(demo.said, /Removed: [4-7] namespaces/);
  t.same(demo.leftovers(), []);
});

t.test("what a killed run has left, the next one removes", options, async (t) => {
  const killed = new Demo(t, ["--json", "--hosts", "2"]);
  await killed.outcome();
  killed.signal("SIGKILL");
  await killed.ended;
  t.ok(killed.leftovers().length > 0);
  const next = new Demo(t, ["--once", "--hosts", "2"]);
  t.equal(await next.ended, 0);
  t.match(next.said, /An earlier run was killed\. Removed: 5 namespaces/);
  t.same(killed.leftovers(), []);
});

t.test("where nobody may make networks, it says so and makes nothing", options, async (t) => {
  const script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"';
  const command = ["-c", script, "sh", ...PLAIN_USER, ...onNode, "demo", "--once"];
  const { status, stderr, stdout } = spawnSync(
    "unshare",
    ["--user", "--map-root-user", "sh", ...command],
    { encoding: "utf8", timeout: 300_000 },
  );
  t.equal(status, 4);
  t.equal(stdout, "");
  t.match(stderr, /lets nobody but root make networks[^]*--privileged[^]*PERMISSION_DENIED/);
});

t.test("a step that fails shows what the daemon has logged", options, async (t) => {
  const demo = new Demo(t, ["--hosts", "2"]);
  await demo.has("✓ a: denim init");
  const daemon = demo.leftovers().find((name) => name.startsWith("/proc/"))!;
  process.kill(Number(daemon.split("/")[2]), "SIGKILL");
  t.not(await demo.ended, 0);
  t.match(demo.said, /✗ [ab]: /);
  t.match(demo.said, /The last lines that the daemon of host [ab] logged:\n/);
  t.match(demo.said, /\n {2}\S+ \[INF\] denim/);
  t.match(demo.said, /\nerror: [^]*code/);
  t.same(demo.leftovers(), []);
});
