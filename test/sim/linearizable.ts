/**
 * Checks histories of a compare-and-set register, one a file, in the form of Jepsen's logs:
 *
 *   node test/sim/linearizable.ts FILE...
 *
 * prints `FILE: ok`, `FILE: not linearizable` or `FILE: unknown` for each; unknown is what has too
 * many possibilities, and what cannot be read. The exit status is 0 if all are ok, 1 if one is not,
 * 2 if one cannot be read or makes no sense.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { MalformedHistory, parseJepsen } from "./jepsen.ts";
import { register } from "./register.ts";
import { checkLinearizable } from "./wgl.ts";

if (process.argv.length < 3) {
  console.error("usage: node test/sim/linearizable.ts FILE...");
  process.exitCode = 2;
} else process.exitCode = Math.max(...process.argv.slice(2).map(checkFile));

/** Gives the exit status. */
function checkFile(file: string): number {
  try {
    const verdict = checkLinearizable(register, parseJepsen(readFileSync(file, "utf8")));
    console.log(`${file}: ${verdict}`);
    return verdict === "ok" ? 0 : 1;
  } catch (error) {
    console.log(`${file}: unknown`);
    console.error(explain(file, error));
    return 2;
  }
}

function explain(file: string, error: unknown): string {
  if (error instanceof MalformedHistory) {
    return `${error.line === undefined ? file : `${file}:${error.line}`}: ${error.message}`;
  }
  if (error instanceof Error && "code" in error) return `${file}: cannot be read: ${error.message}`;
  throw error;
}
