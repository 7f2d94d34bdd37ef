import process from "node:process";
import t from "tap";
import { RandomCluster } from "./random-cluster.ts";

const SEEDS = 25;
const STEPS = 4000;

/** One seed alone: `DENIM_SEED=17`. */
const only = process.env["DENIM_SEED"];
const seeds = only ? [Number(only)] : Array.from({ length: SEEDS }, (_, i) => i + 1);

t.test("whatever gets lost, repeated, delayed or crashes, what Raft promises holds", async (t) => {
  let [committed, reads] = [0, 0];
  const problems: string[] = [];
  for (const seed of seeds) {
    const cluster = new RandomCluster(seed);
    try {
      for (let i = 0; i < STEPS; i++) cluster.step();
      if (!cluster.heal()) problems.push(`DENIM_SEED=${seed}: no agreement after the faults`);
      reads += cluster.checkReads();
    } catch (error) {
      problems.push(`DENIM_SEED=${seed}: ${error instanceof Error ? error.message : error}`);
    }
    committed += cluster.committed;
  }
  t.same(problems, []);
  t.ok(committed > 10 * seeds.length, `${committed} entries were committed`);
  t.ok(reads > 0, `${reads} reads were answered`);
});

t.test("the same seed gives the same run", async (t) => {
  const run = () => {
    const cluster = new RandomCluster(7);
    for (let i = 0; i < STEPS; i++) cluster.step();
    return cluster.trace.join("\n");
  };
  t.equal(run(), run());
});
