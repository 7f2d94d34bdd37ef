import t from "tap";
import { expiredLeases } from "../../src/lease/expiry.ts";
import { DAY_MS, HOUR_MS, Ledger } from "../support/ledger.ts";

t.test("the leases whose deadline has passed are named with their revision", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.pass(HOUR_MS);
  ledger.join(2);
  t.equal(ledger.state.nextDeadlineMs(), DAY_MS);
  t.same(expiredLeases(ledger.state, DAY_MS - 1), []);
  t.same(expiredLeases(ledger.state, DAY_MS), [
    { key: "10.5.1.0/24", revision: 1 },
    { key: "10.5.2.0/24", revision: 3 },
  ]);
  t.equal(expiredLeases(ledger.state, DAY_MS + HOUR_MS).length, 3);
});

t.test("the next deadline is never later than it is, and exact once it could be past", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  for (const n of [0, 1]) ledger.renew(n, HOUR_MS);
  t.ok(ledger.state.nextDeadlineMs()! <= DAY_MS + HOUR_MS);
  ledger.pass(22 * HOUR_MS);
  t.equal(ledger.state.nextDeadlineMs(), DAY_MS + HOUR_MS);
  t.same(expiredLeases(ledger.state, DAY_MS + HOUR_MS).map(({ key }) => key), ["10.5.1.0/24"]);
  ledger.pass(DAY_MS);
  ledger.expireAll();
  t.equal(ledger.state.nextDeadlineMs(), undefined);
  t.same(expiredLeases(ledger.state, 1e12), []);
});

t.test("a mass expiry takes several entries", async (t) => {
  const ledger = Ledger.open('{"Network":"10.0.0.0/8"}');
  for (let n = 1; n < 700; n++) ledger.join(n);
  ledger.pass(DAY_MS);
  const sizes: number[] = [];
  for (;;) {
    const leases = expiredLeases(ledger.state, ledger.state.clockMs);
    if (leases.length === 0) break;
    sizes.push(leases.length);
    ledger.do({ kind: "lease.expire", leases });
  }
  t.same(sizes, [500, 200]);
});
