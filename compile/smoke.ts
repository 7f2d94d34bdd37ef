/**
 * `node compile/smoke.ts [BINARY]`: runs the binary where nothing of the project can help it, in
 * an empty folder with an empty environment, and proves what a single binary breaks first.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import type { ProbeResult } from "../src/cli/self-test.ts";
import { ROOT } from "./targets.ts";

export interface SmokeReport {
  readonly version: {
    readonly version: string;
    readonly runtime: string;
    readonly binary: boolean;
  };
  readonly probes: readonly ProbeResult[];
}

/** A backend as a stranger writes it: TypeScript, a sibling, a wait, and the one public import. */
const FOREIGN = {
  "mod.ts": `import { defineBackend } from "denim/backend";
import { name } from "./name.ts";
const late: string = await Promise.resolve(name);
export const backend = defineBackend({
  contract: 1,
  name: late,
  parseConfig: () => null,
  parseData: () => null,
  publish: () => ({ data: null, mtu: 1500 }),
  plan: () => [],
});
`,
  "name.ts": `export const name: string = "foreign";\n`,
};

/** Throws when the binary does not run or a part of it does not work. */
export function smoke(binary: string): SmokeReport {
  const folder = mkdtempSync(join(tmpdir(), "denim-smoke-"));
  try {
    const [place, foreign] = [join(folder, "empty"), join(folder, "foreign")];
    mkdirSync(place);
    mkdirSync(foreign);
    for (const [name, text] of Object.entries(FOREIGN)) writeFileSync(join(foreign, name), text);
    const copy = join(folder, "denim");
    copyFileSync(binary, copy);
    const run = (...parameters: string[]) =>
      execFileSync(copy, parameters, { cwd: place, env: {}, encoding: "utf8", timeout: 30_000 });
    const version = JSON.parse(run("version", "--json"));
    const { probes } = JSON.parse(run("self-test", "--json", "--foreign", foreign));
    return { version, probes };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (import.meta.main) {
  const binary = resolve(process.argv[2] ?? join(ROOT, "dist/denim"));
  const { version, probes } = smoke(binary);
  console.log(`denim ${version.version} on ${version.runtime}`);
  for (const { name, found } of probes) console.log(`ok   ${name}: ${found}`);
}
