/** Whole clusters on a virtual clock: a few lives of them, and that a seed is a run. */
import t from "tap";
import { simulate } from "./run.ts";

const SEEDS = Array.from({ length: 8 }, (_, i) => i + 1);

t.test("whatever happens to a cluster, no promise is broken, and it recovers", async (t) => {
  for (const seed of SEEDS) {
    const { failure, entries, faults } = await simulate(seed);
    t.equal(failure?.message, undefined, `seed ${seed}`);
    t.ok(entries > 20 && faults > 0, "something happened");
  }
});

t.test("the same seed is the same run", async (t) => {
  const [one, again, other] = [await simulate(3), await simulate(3), await simulate(4)];
  t.equal(one.traceHash, again.traceHash);
  t.not(one.traceHash, other.traceHash);
});
