import t from "tap";
import { every, sleep, systemClock } from "../../src/base/clock.ts";
import { FakeClock } from "../support/clock.ts";

t.test("a sleep ends when its time is over", async (t) => {
  const clock = new FakeClock();
  let done = false;
  const asleep = sleep(clock, 1_000).then(() => (done = true));
  await clock.advance(999);
  t.notOk(done);
  await clock.advance(1);
  await asleep;
  t.ok(done);
});

t.test("a sleep ends at once when it is cancelled", async (t) => {
  const stop = new AbortController();
  const asleep = sleep(new FakeClock(), 1_000, stop.signal);
  stop.abort();
  await asleep;
  await sleep(new FakeClock(), 1_000, stop.signal);
  t.pass("both returned");
});

t.test("a period repeats until it is cancelled, also from inside", async (t) => {
  const clock = new FakeClock();
  let count = 0;
  const cancel = every(clock, 10, () => {
    if (++count === 3) cancel();
  });
  await clock.advance(100);
  t.equal(count, 3);
});

t.test("the system clock goes forward", async (t) => {
  const clock = systemClock();
  const before = clock.monotonicMs();
  await sleep(clock, 5);
  t.ok(clock.monotonicMs() - before >= 4);
  t.ok(clock.wallMs() > Date.UTC(2024, 0));
  t.ok(clock.bootMs() > 0);
});
