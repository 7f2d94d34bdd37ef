/**
 * Simulated clusters: `--seed S` runs one and shows what happened, `--seeds N [--from S]` runs many.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { simulate } from "./run.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    from: { type: "string", default: "1" },
    verbose: { type: "boolean", default: false },
  },
});

const first = Number(values.seed ?? values.from);
const count = values.seed === undefined ? Number(values.seeds ?? 100) : 1;
const startedMs = performance.now();
let [faults, entries, elections, failures] = [0, 0, 0, 0];
for (let seed = first; seed < first + count; seed++) {
  const result = await simulate(seed);
  faults += result.faults;
  entries += result.entries;
  elections += result.elections;
  if (count === 1) console.log(result);
  if (result.failure === undefined) continue;
  failures++;
  console.log(`seed ${seed} (hash ${result.traceHash}): ${result.failure.message}`);
  if (values.verbose || count === 1) console.log(result.failure.notes.join("\n"));
}
const seconds = (performance.now() - startedMs) / 1000;
console.log(
  `${count} seeds, ${(count / seconds).toFixed(1)} a second, ${faults} faults, ` +
    `${entries} entries, ${elections} elections, ${failures} failed`,
);
process.exitCode = failures > 0 ? 1 : 0;
