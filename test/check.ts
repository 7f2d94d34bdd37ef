/** `npm run check`: format, lint, types by tsc and by deno, and the house rules. */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { root } from "./support/root.ts";
import process from "node:process";

/** Not every part of the house exists from the first day. */
const folders = ["src", "plugins", "compile", "test", "examples"]
  .filter((folder) => globSync(`${folder}/**/*.ts`, { cwd: root }).length > 0);

const deno = "node_modules/@deno/linux-x64-glibc/deno";
const steps: readonly (readonly [string, string, ...string[]])[] = [
  ["format", deno, "fmt", "--check", "--quiet"],
  ["lint", deno, "lint", "--quiet"],
  ["types (tsc)", "node_modules/.bin/tsc", "-p", "."],
  ["types (deno)", deno, "check", "--quiet", ...folders],
  ["tidy", process.execPath, "test/tidy.test.ts"],
];

let failed = 0;
for (const [name, command, ...parameters] of steps) {
  const started = performance.now();
  const result = spawnSync(command, parameters, { cwd: root, encoding: "utf8" });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const ok = result.status === 0;
  console.log(`${ok ? "ok  " : "FAIL"} ${name} (${seconds} s)`);
  if (ok) continue;
  failed++;
  console.log(result.error?.message ?? `${result.stdout}${result.stderr}`);
}
process.exitCode = failed === 0 ? 0 : 1;
