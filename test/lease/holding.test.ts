import t from "tap";
import { holdingFrom, type HostTime, trustedForMs } from "../../src/lease/holding.ts";
import { DAY_MS, EPOCH, HOUR_MS } from "../support/ledger.ts";

const SENT: HostTime = { bootMs: 1_000, wallMs: 5_000_000, bootId: "one" };

const holding = (ttlMs: number) =>
  holdingFrom({ node: "id1", subnets: ["10.5.2.0/24"], revision: 3, ttlMs, epoch: EPOCH }, SENT);

const later = (bootMs: number, wallMs = bootMs): HostTime => ({
  bootMs: SENT.bootMs + bootMs,
  wallMs: SENT.wallMs + wallMs,
  bootId: "one",
});

t.test("a holder stops believing a little before the cluster does", async (t) => {
  t.equal(trustedForMs(holding(HOUR_MS), SENT), HOUR_MS * 0.99);
  t.equal(trustedForMs(holding(HOUR_MS), later(HOUR_MS * 0.99 - 1)), 1);
  t.equal(trustedForMs(holding(HOUR_MS), later(HOUR_MS * 0.99)), 0);
  t.equal(trustedForMs(holding(HOUR_MS), later(HOUR_MS * 9)), 0);
});

t.test("the clock that ran further counts", async (t) => {
  t.equal(trustedForMs(holding(HOUR_MS), later(1_000, 2_000)), HOUR_MS * 0.99 - 2_000);
  t.equal(trustedForMs(holding(HOUR_MS), later(2_000, 1_000)), HOUR_MS * 0.99 - 2_000);
  t.equal(trustedForMs(holding(HOUR_MS), later(1_000, DAY_MS)), 0);
});

t.test("after a reboot, or when a clock went back, nothing is believed", async (t) => {
  t.equal(trustedForMs(holding(HOUR_MS), { ...later(1), bootId: "two" }), 0);
  t.equal(trustedForMs(holding(HOUR_MS), later(1_000, -1)), 0);
  t.equal(trustedForMs(holding(HOUR_MS), later(-1, 1_000)), 0);
});

t.test("nobody believes in more than a day", async (t) => {
  t.equal(trustedForMs(holding(7 * DAY_MS), SENT), DAY_MS * 0.99);
});
