import t from "tap";
import { WriteWatch } from "../../src/replica/write-watch.ts";
import { FakeClock } from "../support/clock.ts";
import { RecordingLogger } from "../support/log.ts";

t.test("a slow write is told of once, and a hung one is given up", async (t) => {
  const [clock, log] = [new FakeClock(), new RecordingLogger()];
  const watch = new WriteWatch(clock, log);
  const look = async (seconds: number) => {
    for (let s = 0; s < seconds * 10; s++) {
      await clock.advance(100);
      watch.check();
    }
  };
  watch.check();
  void watch.over(new Promise(() => {}));
  watch.check();
  t.same(log.lines, []);
  await look(2);
  t.equal(log.lines.length, 1);
  await look(27);
  t.equal(log.lines.length, 1);
  await t.rejects(look(1), { code: "STORE_FAILED", why: /30 s/ });
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

t.test("a process that was paused does not take it for a hung disk", async (t) => {
  const [clock, log] = [new FakeClock(), new RecordingLogger()];
  const watch = new WriteWatch(clock, log);
  const write = Promise.withResolvers<void>();
  const over = watch.over(write.promise);
  await clock.advance(3_600_000);
  watch.check();
  t.match(log.lines.join(), /slow/);
  write.resolve();
  await over;
});
