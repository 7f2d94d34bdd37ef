import t from "tap";
import { unknownOutcome, Waiters } from "../../src/replica/waiters.ts";

const ok = (value: string) => ({ ok: true, value }) as const;

t.test("everybody gets the answer of their own entry", async (t) => {
  const waiters = new Waiters();
  const waiting = [waiters.wait(4, 1), waiters.wait(5, 1)];
  waiters.settle(4, 1, ok("four"));
  waiters.settle(5, 1, { ok: false, error: { code: "LEASE_LOST", message: "gone" } });
  t.equal(await waiting[0], "four");
  await t.rejects(waiting[1]!, { code: "LEASE_LOST" });
});

t.test("an entry of a later term means that earlier ones have no place left", async (t) => {
  const waiters = new Waiters();
  const waiting = [waiters.wait(4, 1), waiters.wait(9, 1), waiters.wait(10, 2)];
  waiters.settle(4, 2, ok("another leader's"));
  await t.rejects(waiting[0]!, { code: "NOT_LEADER" });
  await t.rejects(waiting[1]!, { code: "NOT_LEADER" });
  waiters.settle(10, 2, ok("ten"));
  t.equal(await waiting[2], "ten");
});

t.test("a place that is proposed for again was lost before", async (t) => {
  const waiters = new Waiters();
  const first = waiters.wait(4, 1);
  const second = waiters.wait(4, 3);
  await t.rejects(first, { code: "NOT_LEADER" });
  waiters.settle(4, 3, ok("second"));
  t.equal(await second, "second");
});

t.test("what a snapshot went past, nobody knows", async (t) => {
  const waiters = new Waiters();
  const waiting = [waiters.wait(4, 1), waiters.wait(5, 1), waiters.wait(6, 1)];
  waiters.passOver(5);
  await t.rejects(waiting[0]!, { code: "OUTCOME_UNKNOWN" });
  await t.rejects(waiting[1]!, { code: "OUTCOME_UNKNOWN" });
  waiters.failAll(unknownOutcome("the end"));
  await t.rejects(waiting[2]!, { code: "OUTCOME_UNKNOWN", why: "the end" });
});
