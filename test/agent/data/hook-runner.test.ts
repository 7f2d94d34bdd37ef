import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { HookRecord } from "../../../src/agent/data/hook-record.ts";
import { HookRunner } from "../../../src/agent/data/hook-runner.ts";
import { sleep } from "../../../src/base/clock.ts";
import { parsePrefix } from "../../../src/ip/prefix.ts";
import type { Mode } from "../../../src/plan/confidence.ts";
import type { Hook, Invocation } from "../../../src/plan/hook.ts";
import { IdentityFolder } from "../../../src/store/identity.ts";
import { FakePrograms, hanging } from "../../support/fake-programs.ts";
import { fastClock, until } from "../../support/fast-clock.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { RecordingLogger } from "../../support/log.ts";

/** One host's commands, and a data directory that outlives its daemon. */
class Rig implements AsyncDisposable {
  readonly programs = new FakePrograms();
  readonly log = new RecordingLogger();
  readonly folder: string;
  changes = 0;
  runner!: HookRunner;
  #hooks: readonly Hook[] = [];
  #place = "here";

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async start(t: Test, folder = temporaryFolder(t)): Promise<Rig> {
    const rig = new Rig(folder);
    const record = new HookRecord(new IdentityFolder(folder));
    await record.load();
    rig.runner = new HookRunner({
      ...{ programs: rig.programs, record, clock: fastClock(50), log: rig.log },
      onChange: () => rig.changes++,
    });
    return rig;
  }

  /** Before its folder goes. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.runner[Symbol.asyncDispose]();
  }

  want(hooks: readonly Hook[], mode: Mode = "full", place = this.#place): void {
    this.#hooks = hooks;
    this.#place = place;
    this.runner.want({ hooks, mode, place });
  }

  /** The same once more, as every pass says it. */
  again(): void {
    this.want(this.#hooks);
  }

  get states(): string[] {
    return this.runner.views().map(({ key, state, why }) =>
      `${key} ${state}${why === undefined ? "" : `: ${why}`}`
    );
  }

  async until(...states: string[]): Promise<void> {
    await until(String(states), () => String(this.states) === String(states));
  }

  /** What is remembered on disk. */
  get remembered(): string[] {
    const path = join(this.folder, "hooks.json");
    if (!existsSync(path)) return [];
    const { hooks } = JSON.parse(readFileSync(path, "utf8")) as {
      hooks: { key: string; remove: Invocation }[];
    };
    return hooks.map(({ key, remove }) => `${key} ${remove.argv.join(" ")}`);
  }
}

const invocation = (name: string, words: string): Invocation => ({
  ...{ name, argv: words.split(" "), env: {}, input: "\n", timeoutMs: 1_000 },
});

const hook = (n: number, more = ""): Hook => ({
  kind: "hook",
  destination: parsePrefix(`10.5.${n}.0/24`),
  add: invocation("SubnetAddCommand", `add ${n}${more}`),
  remove: invocation("SubnetRemoveCommand", `remove ${n}${more}`),
});

const own: Hook = {
  kind: "hook",
  destination: parsePrefix("10.5.9.0/24"),
  add: invocation("PostStartupCommand", "up"),
  remove: invocation("ShutdownCommand", "down"),
  own: true,
};

t.test("each peer is added once, and removed when it has gone", async (t) => {
  await using rig = await Rig.start(t);
  rig.want([hook(1), hook(2)]);
  await rig.until("10.5.1.0/24 ok", "10.5.2.0/24 ok");
  for (let i = 0; i < 3; i++) rig.again();
  t.same(rig.programs.take().sort(), ["add 1", "add 2"]);
  t.same(rig.remembered, ["10.5.1.0/24 remove 1", "10.5.2.0/24 remove 2"]);
  rig.want([hook(2)]);
  await rig.until("10.5.2.0/24 ok");
  t.same(rig.programs.take(), ["remove 1"]);
  await until("it is forgotten", () => rig.remembered.length === 1);
  await until("all three were told", () => rig.changes === 3);
});

t.test("what is to be removed one day is on disk before it is added", async (t) => {
  await using rig = await Rig.start(t);
  let seen: string[] = [];
  rig.programs.end = () => {
    seen = rig.remembered;
    return undefined;
  };
  rig.want([hook(1)]);
  await rig.until("10.5.1.0/24 ok");
  t.same(seen, ["10.5.1.0/24 remove 1"]);
});

t.test("a peer that is another now is removed as it was, then added", async (t) => {
  await using rig = await Rig.start(t);
  rig.want([hook(1)]);
  await rig.until("10.5.1.0/24 ok");
  rig.want([hook(1, " moved")]);
  await until("it is added", () => rig.programs.begun.length === 3);
  t.same(rig.programs.take(), ["add 1", "remove 1", "add 1 moved"]);
  await rig.until("10.5.1.0/24 ok");
  t.same(rig.remembered, ["10.5.1.0/24 remove 1 moved"]);
});

t.test("a start adds everybody again, and removes who has gone meanwhile", async (t) => {
  await using rig = await Rig.start(t);
  rig.want([hook(1), hook(2)]);
  await rig.until("10.5.1.0/24 ok", "10.5.2.0/24 ok");
  await rig.runner[Symbol.asyncDispose]();
  t.equal(rig.programs.take().length, 2, "a stop runs nothing");
  await using next = await Rig.start(t, rig.folder);
  next.want([hook(1)], "add-only");
  await next.until("10.5.1.0/24 ok", "10.5.2.0/24 extra");
  t.same(next.programs.take(), ["add 1"], "an old copy removes nobody");
  next.want([hook(1)]);
  await next.until("10.5.1.0/24 ok");
  t.same(next.programs.take(), ["remove 2"]);
});

t.test("who hangs keeps nobody else from being added", async (t) => {
  await using rig = await Rig.start(t);
  const { end, release } = hanging();
  rig.programs.end = (words) => words === "add 1" ? end : undefined;
  rig.want([hook(1), hook(2), hook(3)]);
  await rig.until(
    "10.5.1.0/24 missing: a command is running",
    ...["10.5.2.0/24 ok", "10.5.3.0/24 ok"],
  );
  rig.want([hook(1), hook(3), hook(4)]);
  await rig.until(
    "10.5.1.0/24 missing: a command is running",
    ...["10.5.3.0/24 ok", "10.5.4.0/24 ok"],
  );
  release();
  await rig.until("10.5.1.0/24 ok", "10.5.3.0/24 ok", "10.5.4.0/24 ok");
  t.same(rig.programs.take().sort(), ["add 1", "add 2", "add 3", "add 4", "remove 2"]);
});

t.test("many that hang leave room for others, once they have had their turn", async (t) => {
  await using rig = await Rig.start(t);
  const bad = Array.from({ length: 40 }, (_, i) => hook(i + 1, " bad"));
  rig.programs.end = (words) => words.endsWith("bad") ? "hung" : undefined;
  rig.want(bad);
  await until("each has failed", () => rig.states.every((state) => state.includes("failed: hung")));
  t.ok(rig.programs.most <= 16, `${rig.programs.most} at once`);
  const never = hanging();
  rig.programs.end = (words) => words.endsWith("bad") ? never.end : undefined;
  await until("they are tried again", () => rig.programs.running >= 8);
  rig.want([...bad, hook(200)]);
  await until("a good one is added", () => rig.states.includes("10.5.200.0/24 ok"));
  t.ok(rig.programs.running <= 9, "of those that failed eight may run");
});

t.test("who fails is tried again, and its words are kept until it works", async (t) => {
  await using rig = await Rig.start(t);
  let isBad = true;
  rig.programs.end = (words) => isBad && words === "add 1" ? "ended with 2: no" : undefined;
  rig.want([hook(1), hook(2)]);
  await rig.until("10.5.1.0/24 failed: ended with 2: no", "10.5.2.0/24 ok");
  await until("three tries", () => rig.programs.begun.filter((w) => w === "add 1").length >= 3);
  t.equal(rig.log.lines.filter((line) => /ended with 2/.test(line)).length, 1, "it is said once");
  isBad = false;
  await rig.until("10.5.1.0/24 ok", "10.5.2.0/24 ok");
  t.equal(rig.programs.begun.filter((words) => words === "add 2").length, 1);
});

t.test("a command that has been changed does not wait for the former one's turn", async (t) => {
  await using rig = await Rig.start(t);
  rig.programs.end = (words) => words === "add 1" ? "no" : undefined;
  rig.want([hook(1)]);
  await rig.until("10.5.1.0/24 failed: no");
  rig.want([hook(1, " better")]);
  await rig.until("10.5.1.0/24 ok");
  t.ok(rig.programs.take().includes("add 1 better"));
});

t.test("a removal that fails and fails is given up, and said", async (t) => {
  await using rig = await Rig.start(t);
  rig.programs.end = (words) => words.startsWith("remove") ? "no such route" : undefined;
  rig.want([hook(1)]);
  await rig.until("10.5.1.0/24 ok");
  rig.want([]);
  await rig.until("10.5.1.0/24 failed: no such route");
  await rig.until();
  t.equal(rig.programs.begun.filter((words) => words === "remove 1").length, 7);
  t.ok(rig.log.lines.some((line) => /Gives up a removal.*no such route/.test(line)));
  await until("it is forgotten", () => rig.remembered.length === 0);
});

t.test("peers wait for the own subnet, and a host is not ready without it", async (t) => {
  await using rig = await Rig.start(t);
  let isBad = true;
  rig.programs.end = (words) => isBad && words === "up" ? "no device" : undefined;
  t.ok(rig.runner.isReady);
  rig.want([hook(1), own]);
  await rig.until(
    "10.5.1.0/24 missing: waits for the own subnet's command",
    "own failed: no device",
  );
  t.notOk(rig.runner.isReady);
  isBad = false;
  await rig.until("10.5.1.0/24 ok", "own ok");
  t.ok(rig.runner.isReady);
  t.equal(rig.programs.take().at(-1), "add 1");
});

t.test("another place has all of them run again, and removes nothing for it", async (t) => {
  await using rig = await Rig.start(t);
  rig.want([hook(1), own]);
  await rig.until("10.5.1.0/24 ok", "own ok");
  t.same(rig.programs.take(), ["up", "add 1"]);
  rig.want([hook(1), own], "full", "elsewhere");
  await rig.until("10.5.1.0/24 ok", "own ok");
  t.same(rig.programs.take(), ["up", "add 1"]);
});

t.test("a host that has moved while a command ran has it run again", async (t) => {
  await using rig = await Rig.start(t);
  const { end, release } = hanging();
  rig.programs.end = (words) => words === "add 1" ? end : undefined;
  rig.want([hook(1)]);
  await until("it runs", () => rig.programs.running === 1);
  rig.want([hook(1)], "full", "elsewhere");
  release();
  await rig.until("10.5.1.0/24 ok");
  t.same(rig.programs.take(), ["add 1", "add 1"]);
});

t.test("who leaves removes all peers, then itself, whatever fails", async (t) => {
  await using rig = await Rig.start(t);
  rig.want([own, hook(1), hook(2)]);
  await rig.until("own ok", "10.5.1.0/24 ok", "10.5.2.0/24 ok");
  rig.programs.take();
  rig.programs.end = (words) => words === "remove 2" ? "no" : undefined;
  t.same(await rig.runner.withdraw(), ["10.5.2.0/24: no"]);
  t.same(rig.programs.begun.slice(0, 2).sort(), ["remove 1", "remove 2"]);
  t.same(rig.programs.begun.slice(2), ["down"]);
  t.same(rig.remembered, []);
});

t.test("who leaves waits ten seconds for commands that hang, and says what was not run", async (t) => {
  await using rig = await Rig.start(t);
  const clock = fastClock(50);
  const long = (one: Hook): Hook => ({ ...one, remove: { ...one.remove!, timeoutMs: 600_000 } });
  const peers = Array.from({ length: 18 }, (_, i) => long(hook(i + 1)));
  rig.want([...peers, long(own)]);
  await until("all are added", () => rig.states.every((state) => state.endsWith(" ok")));
  rig.programs.take();
  rig.programs.end = async (words, timeoutMs) => {
    if (words === "down") return `${timeoutMs} ms`;
    await sleep(clock, timeoutMs);
    return `hung for ${timeoutMs} ms`;
  };
  const startMs = clock.monotonicMs();
  const stays = await rig.runner.withdraw();
  t.ok(clock.monotonicMs() - startMs < 100_000, "ten times what it may take");
  t.equal(stays.filter((why) => / hung for (10000|\d{4}) ms$/.test(why)).length, 16);
  const late = / SubnetRemoveCommand was not run: others took all the time there was$/;
  t.equal(stays.filter((why) => late.test(why)).length, 2);
  t.match(stays.at(-1)!, /^own: (10000|\d{4}) ms$/, "the own subnet's has as much time again");
  t.same(rig.remembered, []);
});

t.test("another backend removes the peers, then what the own subnet had", async (t) => {
  await using rig = await Rig.start(t);
  rig.want([own, hook(1)]);
  await rig.until("own ok", "10.5.1.0/24 ok");
  rig.programs.take();
  rig.want([]);
  await rig.until();
  t.same(rig.programs.take(), ["remove 1", "down"]);
  await until("they are forgotten", () => rig.remembered.length === 0);
});

t.test("a stop ends what runs, and the next start knows of it", async (t) => {
  await using rig = await Rig.start(t);
  rig.programs.end = () => hanging().end;
  rig.want([hook(1)]);
  await until("it runs", () => rig.programs.running === 1);
  await rig.runner[Symbol.asyncDispose]();
  t.equal(rig.programs.running, 0);
  t.same(rig.remembered, ["10.5.1.0/24 remove 1"]);
  await using next = await Rig.start(t, rig.folder);
  next.want([]);
  await next.until();
  t.same(next.programs.take(), ["remove 1"]);
  await until("it is forgotten", () => next.remembered.length === 0);
});

t.test("a disk that is full is a reason not to run what could never be removed", async (t) => {
  await using rig = await Rig.start(t);
  let isFull = true;
  const identity = new IdentityFolder(rig.folder);
  const record = new HookRecord({
    read: (kind) => identity.read(kind),
    write: (kind, value) =>
      isFull ? Promise.reject(new Error("the disk is full")) : identity.write(kind, value),
  });
  const { programs, log } = rig;
  await using runner = new HookRunner({
    ...{ programs, record, clock: fastClock(50), log, onChange: () => {} },
  });
  runner.want({ hooks: [hook(1)], mode: "full", place: "" });
  await until("it is said", () => runner.views()[0]?.why === "the disk is full");
  t.same(programs.begun, []);
  isFull = false;
  await until("then it is run", () => runner.views()[0]?.state === "ok");
  t.same(programs.begun, ["add 1"]);
});
