/**
 * Runs every test and closes with `N passed, N failed, N skipped`, counted in named tests, so that
 * the counts of both runtimes can be compared.
 *
 *   node test/run.ts                 tap, on Node
 *   node test/run.ts --deno          the same files under `deno test`
 *   node test/run.ts test/ip         only these
 *   node test/run.ts --no-skip       a skipped test is a failure: where everything is installed
 *   node test/run.ts --again         a file that fails is run once more, by itself, and named
 */
import { spawn } from "node:child_process";
import { globSync, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { root } from "./support/root.ts";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Real daemons wait more than they work: on two processors, too, four files at once are faster. */
const JOBS = 4;

process.chdir(root);
const onDeno = process.argv.includes("--deno");
const places = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
const files = (places.length ? places : ["test"]).flatMap((place) =>
  statSync(place).isDirectory() ? globSync(`${place}/**/*.test.ts`).sort(longestFirst) : [place]
);

/** How one file went. */
interface Result extends Counts {
  readonly file: string;
}

/** A machine that stood still may excuse one or two files; more than that, and something is wrong. */
const AGAIN_MAX = 3;

const skipReasons = new Set<string>();

const runAll = onDeno ? runDeno : runTap;
let results = await runAll(files);
const failing = results.filter(({ failed }) => failed > 0).map(({ file }) => file);
if (process.argv.includes("--again") && failing.length > 0 && failing.length <= AGAIN_MAX) {
  results = results.filter(({ failed }) => failed === 0);
  for (const file of failing) {
    console.log(`once more, by itself: ${file}`);
    results.push(...await runAll([file]));
  }
  console.log(`failed at first, to be looked into: ${failing.join(", ")}`);
}
const total = (count: (result: Result) => number) => results.map(count).reduce((a, b) => a + b, 0);
const counts = {
  passed: total(({ passed }) => passed),
  failed: total(({ failed }) => failed),
  skipped: total(({ skipped }) => skipped),
};
for (const reason of skipReasons) console.log(`skipped: ${reason}`);
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
const incomplete = process.argv.includes("--no-skip") && counts.skipped > 0;
process.exitCode = counts.failed > 0 || counts.passed === 0 || incomplete ? 1 : 0;

async function runTap(files: readonly string[]): Promise<Result[]> {
  const results: Result[] = [];
  let block: string[] = [];
  const exit = await run(
    "node_modules/.bin/tap",
    ["--reporter=tap", `--jobs=${JOBS}`, ...files],
    (line) => {
      block.push(line);
      const end = /^(not )?ok \d+ - (\S+\.test\.ts).* # time=([0-9.]+)ms/.exec(line);
      if (end === null) return;
      const file = end[2]!.replace(/^\.\//, "");
      const result = { file, passed: 0, failed: 0, skipped: 0 };
      for (const line of block) countTap(line, result);
      // Such as one whose process ended in the middle of a test.
      if (end[1] && result.failed === 0) result.failed = 1;
      report(file, Number(end[3]), end[1] ? block : undefined);
      results.push(result);
      block = [];
    },
  );
  // A file of which nothing was heard has not passed.
  const ended = new Set(results.map(({ file }) => file));
  for (const file of files.filter((file) => !ended.has(file))) {
    results.push({ file, passed: 0, failed: 1, skipped: 0 });
    report(file, 0, block);
  }
  if (exit !== 0 && results.every(({ failed }) => failed === 0)) {
    console.log(block.join("\n"));
    results.push({ file: "tap itself", passed: 0, failed: 1, skipped: 0 });
  }
  return results;
}

/** A result line that carries a time, or a skip, is a named test; others are assertions. */
function countTap(line: string, counts: Counts): void {
  const match = /^( +)(not )?ok \d+ - (.*?) # (time=|SKIP ?)(.*)$/.exec(line);
  if (match === null) return;
  if (match[4]!.startsWith("SKIP")) {
    counts.skipped++;
    skipReasons.add(`${match[3]} (${match[5]})`);
  } else if (match[2]) counts.failed++;
  else counts.passed++;
}

/** As tap does it: a process for each file, {@link JOBS} at once. */
async function runDeno(files: readonly string[]): Promise<Result[]> {
  const results: Result[] = [];
  const waiting = [...files];
  const job = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      results.push(await runDenoFile(file));
    }
  };
  await Promise.all(Array.from({ length: JOBS }, job));
  return results;
}

async function runDenoFile(file: string): Promise<Result> {
  const lines: string[] = [];
  const startMs = performance.now();
  const exit = await run(
    "node_modules/@deno/linux-x64-glibc/deno",
    ["test", "-A", "--no-check", "--quiet", "--reporter=tap", file],
    (line) => lines.push(line),
  );
  const result = { file, passed: 0, failed: 0, skipped: 0 };
  for (const line of lines) {
    const match = /^ *(not )?ok \d+ - (.*?)( # SKIP.*)?$/.exec(line);
    if (match === null) continue;
    if (match[3]) result.skipped++;
    else if (match[1]) result.failed++;
    else result.passed++;
  }
  if (exit !== 0 && result.failed === 0) result.failed = 1;
  report(file, performance.now() - startMs, result.failed > 0 ? lines : undefined);
  return result;
}

/** One line a file as it ends; of a file that fails, everything that it said. */
function report(file: string, ms: number, failed: readonly string[] | undefined): void {
  console.log(`${failed ? "FAIL" : "ok  "} ${(ms / 1000).toFixed(1).padStart(6)} s  ${file}`);
  if (failed) console.log(failed.join("\n"));
}

function run(
  command: string,
  parameters: readonly string[],
  onLine?: (line: string) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, parameters, {
      stdio: ["ignore", onLine ? "pipe" : "inherit", "inherit"],
      // Daemons and test files are the same modules over and over: they are compiled once.
      env: {
        ...process.env,
        NO_COLOR: "1",
        NODE_COMPILE_CACHE: join(root, "node_modules/.cache/compile"),
      },
    });
    let rest = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      lines.forEach((line) => onLine?.(line));
    });
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  });
}

/** The tests on real daemons take the longest: what is short fills the gaps behind them. */
function longestFirst(a: string, b: string): number {
  const rank = (path: string) => (path.includes("/e2e/") ? 0 : 1);
  return rank(a) - rank(b) || (a < b ? -1 : 1);
}
