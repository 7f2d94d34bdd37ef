/**
 * Runs every test and closes with `N passed, N failed, N skipped`, counted in named tests, so that
 * the counts of both runtimes can be compared.
 *
 *   node test/run.ts                 tap, on Node
 *   node test/run.ts --deno          the same files under `deno test`
 *   node test/run.ts test/ip         only these
 *   node test/run.ts --no-skip       a skipped test is a failure: where everything is installed
 */
import { spawn } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { root } from "./support/root.ts";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

process.chdir(root);
const onDeno = process.argv.includes("--deno");
const places = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
const files = (places.length ? places : ["test"]).flatMap((place) =>
  statSync(place).isDirectory() ? globSync(`${place}/**/*.test.ts`).sort() : [place]
);

const skipReasons = new Set<string>();

const counts = onDeno ? await runDeno() : await runTap();
for (const reason of skipReasons) console.log(`skipped: ${reason}`);
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
const incomplete = process.argv.includes("--no-skip") && counts.skipped > 0;
process.exitCode = counts.failed > 0 || counts.passed === 0 || incomplete ? 1 : 0;

async function runTap(): Promise<Counts> {
  const scratch = mkdtempSync(join(tmpdir(), "denim-test-"));
  const output = join(scratch, "tap.txt");
  const exit = await run("node_modules/.bin/tap", [
    "--reporter=dot",
    `--output-file=${output}`,
    ...files,
  ]);
  const counts = countTap(readFileSync(output, "utf8"));
  rmSync(scratch, { recursive: true });
  if (exit !== 0 && counts.failed === 0) counts.failed = 1;
  return counts;
}

/** A result line that carries a time, or a skip, is a named test; others are assertions. */
function countTap(text: string): Counts {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const line of text.split("\n")) {
    const match = /^( +)(not )?ok \d+ - (.*?) # (time=|SKIP ?)(.*)$/.exec(line);
    if (match === null) continue;
    if (match[4]!.startsWith("SKIP")) {
      counts.skipped++;
      skipReasons.add(`${match[3]} (${match[5]})`);
    } else if (match[2]) counts.failed++;
    else counts.passed++;
  }
  return counts;
}

async function runDeno(): Promise<Counts> {
  const lines: string[] = [];
  const exit = await run(
    "node_modules/@deno/linux-x64-glibc/deno",
    ["test", "-A", "--no-check", "--quiet", "--reporter=tap", ...files],
    (line) => lines.push(line),
  );
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const line of lines) {
    const match = /^ *(not )?ok \d+ - (.*?)( # SKIP.*)?$/.exec(line);
    if (match === null) continue;
    if (match[3]) counts.skipped++;
    else if (match[1]) counts.failed++;
    else counts.passed++;
  }
  if (exit !== 0) {
    console.log(lines.join("\n"));
    if (counts.failed === 0) counts.failed = 1;
  }
  return counts;
}

function run(
  command: string,
  parameters: readonly string[],
  onLine?: (line: string) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, parameters, {
      stdio: ["ignore", onLine ? "pipe" : "inherit", "inherit"],
      env: { ...process.env, NO_COLOR: "1" },
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
