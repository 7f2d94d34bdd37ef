import t from "tap";
import { Leading } from "../../src/replica/leading.ts";
import { applyGroup } from "../../src/lease/apply.ts";
import { NO_CHECKPOINT } from "../../src/store/checkpoint.ts";
import { FakeClock } from "../support/clock.ts";
import { DAY_MS, LATER, Ledger } from "../support/ledger.ts";

const SHORT = '{"Network":"10.5.0.0/16","LeaseTTL":"20s","Backend":{"Type":"host-gw"}}';

t.test("time is lent from the beginning of the leadership on, and only once", async (t) => {
  const clock = new FakeClock();
  const leading = new Leading(clock, 3);
  t.equal(leading.stamp().elapsedMs, 0);
  await clock.advance(10.75);
  t.equal(leading.stamp().elapsedMs, 10);
  t.equal(leading.stamp().elapsedMs, 10, "what was not taken is offered again");
  leading.stamped(leading.stamp());
  await clock.advance(0.5);
  t.equal(leading.stamp().elapsedMs, 1, "the fraction is not lost");
});

t.test("a tick is due at the next deadline, or after ten seconds", async (t) => {
  const clock = new FakeClock();
  const { state } = Ledger.open(SHORT);
  const leading = new Leading(clock, 1);
  const tick = async (waitMs: number) => {
    await clock.advance(waitMs);
    const due = leading.due(state, NO_CHECKPOINT);
    if (due?.kind !== "tick") return due?.kind;
    const stamp = leading.stamp();
    leading.stamped(stamp);
    state.commit(100, [], state.clockMs + stamp.elapsedMs);
    return "tick";
  };
  t.equal(await tick(9_999), undefined);
  t.equal(await tick(1), "tick");
  t.equal(await tick(9_999), undefined);
  t.equal(await tick(1), "lease.expire", "the deadline has come");
  t.equal(await tick(100), undefined, "not twice in a moment");
  t.equal(await tick(200), "lease.expire");
});

t.test("nothing is due while nothing can end", async (t) => {
  const clock = new FakeClock();
  const ledger = Ledger.open(SHORT);
  ledger.do({ kind: "lease.release", node: "id0", subnets: ledger.subnetsOf(0) });
  const leading = new Leading(clock, 1);
  await clock.advance(1e9);
  t.equal(leading.due(ledger.state, NO_CHECKPOINT), undefined);
});

t.test("a new leader waits before it ends anything", async (t) => {
  const clock = new FakeClock();
  const ledger = Ledger.open(SHORT);
  ledger.pass(60_000);
  const leading = new Leading(clock, 2);
  await clock.advance(19_999);
  t.not(leading.due(ledger.state, NO_CHECKPOINT)?.kind, "lease.expire");
  await clock.advance(300);
  t.same(leading.due(ledger.state, NO_CHECKPOINT), {
    kind: "lease.expire",
    leases: [{ key: "10.5.1.0/24", revision: 1 }],
  });
});

t.test("the end of a hold is due by the lease clock, whether or not anything can expire", async (t) => {
  const clock = new FakeClock();
  const ledger = Ledger.open(SHORT);
  ledger.do({ kind: "lease.release", node: "id0", subnets: ledger.subnetsOf(0) });
  ledger.reform();
  ledger.pass(DAY_MS - 15_000);
  const leading = new Leading(clock, 3);
  const due = () => leading.due(ledger.state, NO_CHECKPOINT);
  await clock.advance(10_000);
  t.equal(due()?.kind, "tick");
  await clock.advance(4_999);
  t.equal(due()?.kind, "tick", "which does not say that it is over");
  await clock.advance(1_000);
  t.same(due(), { kind: "cluster.release-hold", epoch: LATER, early: false });
});

t.test("after a hold holders have the time to claim before anything is ended", async (t) => {
  const clock = new FakeClock();
  const ledger = Ledger.open(SHORT);
  const leading = new Leading(clock, 3);
  const due = () => leading.due(ledger.state, NO_CHECKPOINT)?.kind;
  await clock.advance(1e6);
  ledger.reform();
  ledger.pass(DAY_MS);
  t.equal(due(), "cluster.release-hold");
  ledger.do({ kind: "cluster.release-hold", epoch: LATER, early: false });
  await clock.advance(19_999);
  t.equal(due(), "tick");
  await clock.advance(300);
  t.equal(due(), "lease.expire");
});

t.test("replicas are asked to compare every few minutes, where there are several", async (t) => {
  const clock = new FakeClock();
  const ledger = Ledger.open();
  const checkpoint = { index: 7, digest: "d", clockDigest: "c" };
  const leading = new Leading(clock, 1);
  await clock.advance(300_000);
  t.equal(leading.due(ledger.state, checkpoint)?.kind, "tick");
  applyGroup(ledger.state, ++ledger.index, { voters: [1], learners: [2] });
  await clock.advance(250);
  t.same(leading.due(ledger.state, checkpoint), { kind: "check", ...checkpoint });
  await clock.advance(299_999);
  t.equal(leading.due(ledger.state, checkpoint)?.kind, "tick");
  await clock.advance(250);
  t.equal(leading.due(ledger.state, checkpoint)?.kind, "check");
});
