/** Real programs, run to their end or beyond their time. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import t, { type Test } from "tap";
import { systemClock } from "../../src/base/clock.ts";
import { AllowList } from "../../src/host/allow-list.ts";
import { HostPrograms } from "../../src/host/programs.ts";
import type { Ended, Invocation } from "../../src/plan/hook.ts";
import { until } from "../support/fast-clock.ts";
import { temporaryFolder } from "../support/folders.ts";

/** A host that allows one script, which is this one. */
class Script {
  readonly folder: string;
  readonly path: string;
  readonly stop = new AbortController();
  readonly #programs: HostPrograms;

  constructor(t: Test, text: string) {
    this.folder = temporaryFolder(t);
    this.path = join(this.folder, "script");
    writeFileSync(this.path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    const allow = join(this.folder, "allow");
    writeFileSync(allow, `${this.path}\n`, { mode: 0o644 });
    this.#programs = new HostPrograms(new AllowList(allow), systemClock());
  }

  async run(more: Partial<Invocation> = {}, words: string[] = []): Promise<Ended> {
    const argv = [this.path, ...words];
    const given = { name: "SubnetAddCommand", argv, env: {}, input: "", timeoutMs: 60_000 };
    return await this.#programs.run({ ...given, ...more }, this.stop.signal);
  }

  at(name: string): string {
    return join(this.folder, name);
  }

  /** A file that the script writes. */
  read(name: string): string {
    return readFileSync(this.at(name), "utf8");
  }
}

t.test("a program gets words, environment and input, and its output is kept", async (t) => {
  const script = new Script(t, 'read line; echo "$1|$2|$SUBNET|$line"; echo aside >&2');
  const env = { SUBNET: "10.5.1.0/24" };
  t.same(await script.run({ env, input: "mac\n" }, ["a b", "$SUBNET;"]), {
    out: "a b|$SUBNET;|10.5.1.0/24|mac\n",
  });
});

t.test("nothing of the daemon's own environment comes along", async (t) => {
  process.env.DENIM_TEST_SECRET = "s";
  t.teardown(() => delete process.env.DENIM_TEST_SECRET);
  const { out } = await new Script(t, "env -0 | cut -z -d= -f1 | sort -z | tr '\\0' '\\n'").run();
  // The shell adds some, and tap to whatever a test starts.
  const added = /^(PWD|SHLVL|_|NODE_OPTIONS|_TAPJS_.*|)$/;
  t.same(out.split("\n").filter((name) => !added.test(name)), ["LC_ALL", "PATH"]);
});

t.test("a failure is told in the program's own words", async (t) => {
  const script = new Script(t, "echo first >&2; echo RTNETLINK answers: File exists >&2; exit 2");
  t.equal(
    (await script.run()).error,
    "SubnetAddCommand ended with 2: RTNETLINK answers: File exists",
  );
  t.equal(
    (await new Script(t, "echo only this; exit 1").run()).error,
    [
      "SubnetAddCommand ended with 1: only this",
    ].join(),
  );
  t.equal((await new Script(t, "kill -9 $$").run()).error, "SubnetAddCommand was ended by SIGKILL");
});

t.test("who does not end in time is ended, and all that it has started", async (t) => {
  const script = new Script(
    t,
    'trap "" TERM; sleep 1000 & echo $! > $1; echo hanging >&2; while :; do wait; done',
  );
  const file = script.at("pid");
  const { error } = await script.run({ timeoutMs: 1_000 }, [file]);
  t.equal(error, "SubnetAddCommand did not end within 1 s: hanging");
  const child = Number(script.read("pid"));
  await until("its child is gone", () => !isAlive(child));
  t.notOk(isAlive(child));
});

function isAlive(pid: number): boolean {
  try {
    // A zombie is nobody's program any more.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

t.test("a daemon that stops ends what runs, and begins nothing", async (t) => {
  const script = new Script(t, "echo here > $1; exec sleep 1000");
  const file = script.at("here");
  const running = script.run({}, [file]);
  await until("it runs", () => existsSync(file));
  script.stop.abort();
  t.equal((await running).error, "SubnetAddCommand was ended: the daemon stops");
  t.match((await script.run()).error ?? "", /was not run/);
});

t.test("what a program leaves behind is not waited for, though it holds its output", async (t) => {
  const script = new Script(t, "sleep 1000 & echo $! > $1; echo done");
  const file = script.at("pid");
  const { out, error } = await script.run({}, [file]);
  const child = Number(script.read("pid"));
  t.teardown(() => process.kill(child, "SIGKILL"));
  t.same([out, error], ["done\n", undefined]);
  t.ok(isAlive(child), "a routing daemon that was started may stay");
});

t.test("a program that says very much is not remembered to the end", async (t) => {
  const { out, error } = await new Script(t, "yes 0123456789 | head -c 3000000").run();
  t.equal(error, undefined);
  t.equal(out.length, 65_536);
});

t.test("input for who does not read it is no failure", async (t) => {
  t.same(await new Script(t, "exit 0").run({ input: "x".repeat(1_000_000) }), { out: "" });
});

t.test("what is not allowed, or not there, is told as a failure", async (t) => {
  const script = new Script(t, "exit 0");
  const refused = await script.run({ argv: ["/bin/true"] });
  t.match(refused.error ?? "", /^This host does not run "\/bin\/true": .* no line/);
  writeFileSync(script.path, "no program of this system\n");
  t.match((await script.run()).error ?? "", /could not be started|ended with/);
});
