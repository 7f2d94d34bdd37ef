/**
 * Simulated lives of whole clusters.
 *
 *   npm run sim -- --seeds N [--from S]   many; what fails is named by its seed
 *   npm run sim -- --seed S               one, with the last that happened in it
 *   npm run sim -- --mutants [NAME…]      known mistakes are put back, one at a time: each must be
 *                                         found within --seeds N (500), and none without a mutant
 *
 * `--jobs N` processes share the work, one per core unless told otherwise.
 */
import { spawn } from "node:child_process";
import { cpus } from "node:os";
import process from "node:process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { MUTANTS } from "./mutants.ts";
import { type RunResult, simulate } from "./run.ts";

const MUTANT_SEEDS = 500;
const SEEDS = 100;
/** A process tells how far it is after so many seeds. */
const REPORT_EVERY = 10;
/** And makes room for another one after so many. */
const LIVES_MAX = 250;
/** How far each job of the present sweep is. */
const told = new Map<number, Sum>();

/** What one process found. */
interface Sum {
  seeds: number;
  faults: number;
  entries: number;
  elections: number;
  acknowledged: number;
  readonly failures: { readonly seed: number; readonly message: string }[];
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    from: { type: "string", default: "1" },
    mutants: { type: "boolean", default: false },
    jobs: { type: "string", default: String(cpus().length) },
    /** Of this process: every so many seeds, the sums so far as lines of JSON. */
    part: { type: "string" },
  },
});

if (values.part !== undefined) await runPart();
else if (values.seed !== undefined) await showOne(Number(values.seed));
else if (values.mutants) await hunt(Number(values.seeds ?? MUTANT_SEEDS));
else await sweep(Number(values.seeds ?? SEEDS), Number(values.from));

async function showOne(seed: number): Promise<void> {
  const { failure, ...facts } = await simulate(seed);
  console.log(Object.entries(facts).map(([name, fact]) => `${name} ${fact}`).join("\n"));
  if (failure === undefined) return;
  console.log(`\nfailed: ${failure.message}\n\n${failure.notes.join("\n")}`);
  process.exitCode = 1;
}

async function sweep(seeds: number, from: number): Promise<void> {
  const startedMs = performance.now();
  const sum = await share(seeds, from, {});
  for (const { seed, message } of sum.failures) console.log(`seed ${seed}: ${message}`);
  const seconds = (performance.now() - startedMs) / 1000;
  console.log(
    `${sum.seeds} seeds, ${(sum.seeds / seconds).toFixed(1)} a second, ` +
      `${sum.faults} faults injected, ${sum.entries} entries committed, ` +
      `${sum.elections} elections, ${sum.acknowledged} writes acknowledged, ` +
      `${sum.failures.length} failed`,
  );
  process.exitCode = sum.failures.length > 0 ? 1 : 0;
}

/** The same seeds without a mutant are the control: whatever is found there is no mutant's. */
async function hunt(seeds: number): Promise<void> {
  const wanted = MUTANTS.filter(({ name }) =>
    positionals.length === 0 || positionals.includes(name)
  );
  const control = await share(seeds, 1, {});
  const clean = control.failures.length === 0;
  console.log(`control: ${control.seeds} seeds, ${control.failures.length} failed`);
  for (const { seed, message } of control.failures) console.log(`  seed ${seed}: ${message}`);
  let found = 0;
  for (const { name } of wanted) {
    const { failures } = await share(seeds, 1, { DENIM_MUTANT: name });
    const [first] = failures.sort((a, b) => a.seed - b.seed);
    if (first !== undefined) found++;
    const how = first === undefined ? "NOT FOUND" : `seed ${first.seed}: ${brief(first.message)}`;
    console.log(`${name}: ${how}`);
  }
  console.log(`${found} of ${wanted.length} mutants found`);
  process.exitCode = clean && found === wanted.length ? 0 : 1;
}

/** Deals the seeds out to processes of this program. */
async function share(seeds: number, from: number, env: Record<string, string>): Promise<Sum> {
  const jobs = Number(values.jobs);
  told.clear();
  const parts = Array.from({ length: jobs }, (_, i) => oneJob(i, { seeds, from, step: jobs, env }));
  return (await Promise.all(parts)).reduce(add, nothing());
}

interface Share {
  readonly seeds: number;
  readonly from: number;
  readonly step: number;
  readonly env: Record<string, string>;
}

/** Every so many seeds from one on, in one process after the other: killed nodes hold on to memory. */
async function oneJob(job: number, share: Share): Promise<Sum> {
  const { seeds, from, step, env } = share;
  let sum = nothing();
  for (let done = 0, all = Math.ceil((seeds - job) / step); done < all; done += LIVES_MAX) {
    const count = Math.min(LIVES_MAX, all - done);
    const before = sum;
    sum = add(
      before,
      await onePart(count, from + job + done * step, {
        ...{ step, env },
        onProgress: (part) => report(job, add(before, part)),
      }),
    );
    if (env.DENIM_MUTANT !== undefined && sum.failures.length > 0) break;
  }
  return sum;
}

function onePart(
  seeds: number,
  from: number,
  options: Pick<Share, "step" | "env"> & { readonly onProgress: (sum: Sum) => void },
): Promise<Sum> {
  const isMutant = options.env.DENIM_MUTANT !== undefined;
  const hook = new URL("./mutate.ts", import.meta.url).href;
  const child = spawn(process.execPath, [
    ...(isMutant ? ["--import", hook] : []),
    ...[process.argv[1]!, "--part", String(options.step)],
    ...["--seeds", String(seeds), "--from", String(from)],
  ], { env: { ...process.env, ...options.env }, stdio: ["ignore", "pipe", "inherit"] });
  return new Promise((resolve, reject) => {
    let last = "";
    createInterface(child.stdout).on("line", (line) => {
      last = line;
      options.onProgress(JSON.parse(line) as Sum);
    });
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) return resolve(JSON.parse(last) as Sum);
      // Its last words came after so many lives: one of the next ten ended it.
      const lived = last === "" ? 0 : (JSON.parse(last) as Sum).seeds;
      const next = from + lived * options.step;
      reject(new Error(`a process ended with ${signal ?? code}, at seed ${next} or soon after`));
    });
  });
}

/** A mutant is found once; a sweep wants to know of every failure. */
async function runPart(): Promise<void> {
  const step = Number(values.part);
  const isMutant = process.env.DENIM_MUTANT !== undefined;
  const sum = nothing();
  const [first, seeds] = [Number(values.from), Number(values.seeds)];
  for (let seed = first, n = 0; n < seeds; seed += step, n++) {
    const result = await simulate(seed);
    count(sum, result);
    if (isMutant && sum.failures.length > 0) break;
    if (sum.seeds % REPORT_EVERY === 0) console.log(JSON.stringify(sum));
  }
  console.log(JSON.stringify(sum));
}

function report(job: number, sum: Sum): void {
  if (!process.stderr.isTTY) return;
  const { seeds, failures } = [...told.set(job, sum).values()].reduce(add, nothing());
  process.stderr.write(`\r${seeds} seeds, ${failures.length} failed `);
}

function count(sum: Sum, { seed, failure, ...result }: RunResult): void {
  sum.seeds++;
  sum.faults += result.faults;
  sum.entries += result.entries;
  sum.elections += result.elections;
  sum.acknowledged += result.acknowledged;
  if (failure !== undefined) sum.failures.push({ seed, message: brief(failure.message) });
}

function add(a: Sum, b: Sum): Sum {
  return {
    seeds: a.seeds + b.seeds,
    faults: a.faults + b.faults,
    entries: a.entries + b.entries,
    elections: a.elections + b.elections,
    acknowledged: a.acknowledged + b.acknowledged,
    failures: [...a.failures, ...b.failures],
  };
}

function nothing(): Sum {
  return { seeds: 0, faults: 0, entries: 0, elections: 0, acknowledged: 0, failures: [] };
}

/** The first line, as long as a terminal is wide or a little more. */
function brief(message: string): string {
  return message.split("\n")[0]!.slice(0, 160);
}
