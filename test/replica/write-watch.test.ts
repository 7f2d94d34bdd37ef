import t from "tap";
import { WriteWatch } from "../../src/replica/write-watch.ts";
import { FakeClock } from "../support/clock.ts";
import { RecordingLogger } from "../support/log.ts";

t.test("a slow write is told of once, and a hung one is given up", async (t) => {
  const [clock, log] = [new FakeClock(), new RecordingLogger()];
  const watch = new WriteWatch(clock, log);
  watch.check();
  void watch.over(new Promise(() => {}));
  watch.check();
  t.same(log.lines, []);
  await clock.advance(2_000);
  watch.check();
  watch.check();
  t.equal(log.lines.length, 1);
  await clock.advance(28_000);
  t.throws(() => watch.check(), { code: "STORE_FAILED", why: /30 s/ });
  await watch.hung;
});

t.test("a write that ends, or fails, is watched no more", async (t) => {
  const clock = new FakeClock();
  const watch = new WriteWatch(clock, new RecordingLogger());
  await watch.over(Promise.resolve());
  await t.rejects(watch.over(Promise.reject(new Error("EIO"))), { message: "EIO" });
  await clock.advance(60_000);
  watch.check();
});
