/**
 * `npm run bench -- NAME... [--json] [--tiny] [--minutes N]`: measures Denim and a peer side by side
 * in one run, and judges by their ratio. With `--json` each benchmark ends with its result as one
 * object on a line; `--minutes` is for how long those that wait for a fault go on waiting.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { renderTable } from "../../src/cli/output.ts";
import type { BenchResult, BenchRow } from "./result.ts";

export interface BenchOptions {
  readonly tiny: boolean;
  readonly minutes?: number;
}

export interface Bench {
  run(options: BenchOptions): Promise<BenchResult>;
  /** Why it cannot run here, or false; nothing beyond what every benchmark needs where absent. */
  readonly cannotRun?: string | false;
}

/** Each is loaded only when it is asked for. */
export const BENCHES: Readonly<Record<string, () => Promise<Bench>>> = {
  routes: () => import("./routes.ts"),
  start: () => import("./start.ts"),
  join: () => import("./join.ts"),
  store: () => import("./store.ts"),
  commit: () => import("./commit.ts"),
  read: () => import("./read.ts"),
  dataplane: () => import("./dataplane.ts"),
  failover: () => import("./failover.ts"),
  repair: () => import("./repair.ts"),
};

function render({ rows }: BenchResult): string {
  return renderTable<BenchRow>(
    [
      { title: "MEASURED", text: ({ name }) => name },
      { title: "DENIM", text: ({ denim, unit }) => `${denim} ${unit}`, align: "right" },
      { title: "PEER", text: ({ peer, unit }) => `${peer} ${unit}`, align: "right" },
      { title: "RATIO", text: ({ ratio }) => ratio, align: "right" },
      { title: "GOAL", text: goalOf, align: "right" },
      { title: "", text: ({ ok }) => (ok ? "ok" : "MISSED") },
    ],
    rows,
  );
}

function goalOf({ unit, target }: BenchRow): string {
  return `at ${unit === "/s" ? "least" : "most"} ${Number(target.toPrecision(3))}`;
}

/** Resolves with the exit status. */
async function main(): Promise<number> {
  const { positionals: names, values } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      tiny: { type: "boolean", default: false },
      minutes: { type: "string" },
    },
  });
  const { json, tiny, minutes } = values;
  if (names.length === 0 || !names.every((name) => Object.hasOwn(BENCHES, name))) {
    console.error(`npm run bench -- NAME... [--json] [--tiny] [--minutes N], with NAME one of:`);
    console.error(`  ${Object.keys(BENCHES).join(" ")}`);
    return 2;
  }
  let ok = true;
  for (const name of names) {
    const { run, cannotRun = false } = await BENCHES[name]!();
    if (cannotRun !== false) throw new Error(`${name}: ${cannotRun}`);
    const result = await run({
      tiny,
      ...(minutes === undefined ? {} : { minutes: Number(minutes) }),
    });
    console.log(json ? JSON.stringify(result) : render(result));
    ok &&= result.ok;
  }
  return ok ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main();
