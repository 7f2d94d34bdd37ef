import t from "tap";
import type { StatusView } from "../../src/api/service.ts";
import { statusLine, supervise, watchdogMsOf } from "../../src/cli/supervision.ts";
import { FakeClock } from "../support/clock.ts";
import { STATUS } from "../support/fake-service.ts";

const NOT_YET: StatusView = {
  ...STATUS,
  ready: false,
  checks: [
    { name: "lease", ok: false, why: "none was granted yet" },
    { name: "routes", ok: false },
    { name: "disk", ok: true, why: "12 MiB are free" },
  ],
};

class Rig {
  readonly clock = new FakeClock();
  readonly said: string[] = [];
  view = NOT_YET;
  answers = true;
  takes = true;

  start(watchdogMs: number | undefined): AsyncDisposable {
    return supervise({
      manager: {
        send: (...words) => this.takes && this.said.push(words.join(" ")) > 0,
        [Symbol.dispose]() {},
      },
      ...{ clock: this.clock, watchdogMs },
      status: () => this.view,
      answers: () => this.answers ? Promise.resolve() : Promise.reject(new Error("no answer")),
    });
  }

  count(word: string): number {
    return this.said.filter((text) => text.includes(word)).length;
  }
}

t.test("ready is said once, when it is so, with the status of that moment", async (t) => {
  const rig = new Rig();
  const supervision = rig.start(30_000);
  await rig.clock.advance(1_000);
  t.same(rig.said, ["STATUS=not ready: none was granted yet; no routes yet"]);
  rig.view = STATUS;
  await rig.clock.advance(60);
  t.match(rig.said[1]!, /^STATUS=10\.5\.1\.0\/24 · .* READY=1$/);
  rig.view = { ...NOT_YET, checks: [{ name: "lease", ok: false, why: "fenced" }] };
  await rig.clock.advance(5_000);
  rig.view = STATUS;
  await rig.clock.advance(5_000);
  t.equal(rig.count("READY=1"), 1, "it is not taken back, and not said again");
  t.equal(rig.count("STATUS=not ready: fenced"), 1, "but the status follows");
  const stopped = supervision[Symbol.asyncDispose]();
  await rig.clock.advance(5_000);
  await stopped;
  t.match(rig.said.at(-1)!, /^STOPPING=1 /);
});

t.test("keep-alives come while the daemon answers, and only then", async (t) => {
  const rig = new Rig();
  const supervision = rig.start(6_000);
  await rig.clock.advance(10_000);
  t.equal(rig.count("WATCHDOG=1"), 0, "nobody waits for them before it is ready");
  rig.view = STATUS;
  await rig.clock.advance(6_000);
  t.ok(rig.count("WATCHDOG=1") >= 2, "more than one in the watchdog's time");
  rig.answers = false;
  const before = rig.count("WATCHDOG=1");
  await rig.clock.advance(20_000);
  t.equal(rig.count("WATCHDOG=1"), before, "a daemon that answers nobody is not alive");
  rig.answers = true;
  await rig.clock.advance(6_000);
  t.ok(rig.count("WATCHDOG=1") > before);
  const stopped = supervision[Symbol.asyncDispose]();
  await rig.clock.advance(6_000);
  await stopped;
});

t.test("without a watchdog there are none", async (t) => {
  const rig = new Rig();
  rig.view = STATUS;
  const supervision = rig.start(undefined);
  await rig.clock.advance(60_000);
  t.equal(rig.count("WATCHDOG"), 0);
  t.equal(rig.count("READY=1"), 1);
  const stopped = supervision[Symbol.asyncDispose]();
  await rig.clock.advance(5_000);
  await stopped;
});

t.test("what was not taken is said again", async (t) => {
  const rig = new Rig();
  [rig.view, rig.takes] = [STATUS, false];
  const supervision = rig.start(undefined);
  await rig.clock.advance(1_000);
  t.same(rig.said, []);
  rig.takes = true;
  await rig.clock.advance(1_000);
  t.equal(rig.count("READY=1"), 1);
  const stopped = supervision[Symbol.asyncDispose]();
  await rig.clock.advance(5_000);
  await stopped;
});

t.test("the status is one line", async (t) => {
  t.equal(statusLine(STATUS), "10.5.1.0/24 · routes: 1 ok · leader of 2 · leader host0");
  const alone = { ...STATUS.cluster!, leader: null };
  const lease = { ...STATUS.lease, state: "fenced" } as const;
  const dataPlane = { ...STATUS.dataPlane, routes: {} };
  t.equal(
    statusLine({ ...STATUS, lease, dataPlane, cluster: alone, role: "agent" }),
    "10.5.1.0/24, fenced · routes: none · agent of 2 · no leader",
  );
});

t.test("the watchdog's time comes from the environment, for this process alone", async (t) => {
  t.equal(watchdogMsOf({}, 7), undefined);
  t.equal(watchdogMsOf({ WATCHDOG_USEC: "30000000" }, 7), 30_000);
  t.equal(watchdogMsOf({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "7" }, 7), 30_000);
  t.equal(watchdogMsOf({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "8" }, 7), undefined);
  for (const WATCHDOG_USEC of ["", "0", "-1", "1e3", "soon"]) {
    t.throws(() => watchdogMsOf({ WATCHDOG_USEC }, 7), { code: "CONFIG_INVALID" }, WATCHDOG_USEC);
  }
});
