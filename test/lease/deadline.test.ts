import t from "tap";
import {
  expiryQuarantineMs,
  newLeaderGraceMs,
  removalMarginMs,
  renewAfterMs,
  ttlOf,
} from "../../src/lease/deadline.ts";
import { DAY_MS, HOUR_MS } from "../support/ledger.ts";

t.test("an ephemeral node has ten minutes, or less where all have less", async (t) => {
  t.equal(ttlOf(DAY_MS, false), DAY_MS);
  t.equal(ttlOf(DAY_MS, true), 600_000);
  t.equal(ttlOf(5_000, true), 5_000);
});

t.test("waiting times have a floor, and grow with the TTL", async (t) => {
  t.same([expiryQuarantineMs(5_000), expiryQuarantineMs(DAY_MS)], [HOUR_MS, HOUR_MS]);
  t.same([removalMarginMs(5_000), removalMarginMs(DAY_MS)], [60_000, HOUR_MS]);
  t.same([newLeaderGraceMs(5_000), newLeaderGraceMs(DAY_MS)], [5_000, 30_000]);
});

t.test("renewals are spread by a tenth around a third of the TTL", async (t) => {
  t.equal(renewAfterMs(30_000, 0), 9_000);
  t.equal(renewAfterMs(30_000, 0.5), 10_000);
  t.equal(renewAfterMs(30_000, 1), 11_000);
});
