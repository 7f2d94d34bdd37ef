/** Whole clusters on a virtual clock: a few lives of them, and that a seed is a run. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import t from "tap";
import { root } from "../support/root.ts";
import { MUTANTS } from "./mutants.ts";
import { simulate } from "./run.ts";

const SEEDS = Array.from({ length: 8 }, (_, i) => i + 1);
const node = join(root, "node_modules/.bin/node");
const run = promisify(execFile);

t.test("whatever happens to a cluster, no promise is broken, and it recovers", async (t) => {
  for (const seed of SEEDS) {
    const { failure, entries, faults, scenario } = await simulate(seed);
    t.equal(failure?.message, undefined, `seed ${seed}`);
    t.ok(entries > 20 && (faults > 0 || scenario !== undefined), "something happened");
  }
});

t.test("the same seed is the same run", async (t) => {
  const [one, again, other] = [await simulate(3), await simulate(3), await simulate(4)];
  t.equal(one.traceHash, again.traceHash);
  t.not(one.traceHash, other.traceHash);
});

t.test("every mutant is a change of code that is there, exactly once", async (t) => {
  for (const { name, edits } of MUTANTS) {
    for (const { file, find } of edits) {
      const found = readFileSync(join(root, file), "utf8").split(find).length - 1;
      t.equal(found, 1, `${name} in ${file}`);
    }
  }
});

t.test("a mistake that is put back is found", async (t) => {
  const words = ["--import", join(root, "test/sim/mutate.ts"), join(root, "test/sim/main.ts")];
  for (const name of ["ack-before-sync", "incarnation-used-again"]) {
    const { stdout } = await run(node, [...words, "--part", "1", "--seeds", "8"], {
      env: { ...process.env, DENIM_MUTANT: name },
    });
    const { failures } = JSON.parse(stdout) as { failures: { message: string }[] };
    t.equal(failures.length, 1, `${name}: ${failures[0]?.message}`);
  }
});
