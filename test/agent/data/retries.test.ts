import t from "tap";
import { Retries } from "../../../src/agent/data/retries.ts";

t.test("each failure waits twice as long as the one before, up to a minute", async (t) => {
  const retries = new Retries();
  const waits: number[] = [];
  let nowMs = 0;
  for (let i = 0; i < 9; i++) {
    retries.failed("a", "no", nowMs);
    waits.push(retries.nextDueMs()! - nowMs);
    nowMs = retries.nextDueMs()!;
  }
  t.same(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60].map((seconds) => seconds * 1000));
});

t.test("each thing waits on its own", async (t) => {
  const retries = new Retries();
  retries.failed("a", "no", 0);
  retries.failed("b", "never", 500);
  t.same([retries.waiting("a", 999), retries.waiting("a", 1000)], ["no", undefined]);
  t.equal(retries.waiting("b", 1000), "never");
  t.equal(retries.waiting("c", 0), undefined);
  t.equal(retries.nextDueMs(), 1000);
  t.same([retries.nextDueMs(999), retries.nextDueMs(1000), retries.nextDueMs(1500)], [
    ...[1000, 1500, undefined],
  ]);
});

t.test("what is forgotten begins anew, what is hurried does not", async (t) => {
  const retries = new Retries();
  t.equal(retries.failed("a", "no", 0), true);
  t.equal(retries.failed("a", "no", 1000), false);
  retries.hurry();
  t.equal(retries.waiting("a", 1000), undefined);
  retries.failed("a", "no", 1000);
  t.equal(retries.nextDueMs(), 5000);
  retries.keepOnly(new Set());
  t.equal(retries.nextDueMs(), undefined);
  t.equal(retries.failed("a", "no", 0), true);
});
