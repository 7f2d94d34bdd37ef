/**
 * `npm run bench -- NAME [--json] [--tiny]`: measures Denim and a peer side by side in one run, and
 * judges by their ratio. With `--json` the last line is the result as one object.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { renderTable } from "../../src/cli/output.ts";
import type { BenchResult, BenchRow } from "./result.ts";

type Bench = (options: { tiny: boolean }) => Promise<BenchResult>;

/** Each is loaded only when it is asked for. */
export const BENCHES: Readonly<Record<string, () => Promise<{ run: Bench }>>> = {
  netlink: () => import("./netlink.ts"),
  start: () => import("./start.ts"),
  join: () => import("./join.ts"),
};

function render({ rows }: BenchResult): string {
  return renderTable<BenchRow>(
    [
      { title: "MEASURED", text: ({ name }) => name },
      { title: "DENIM", text: ({ denim, unit }) => `${denim} ${unit}`, align: "right" },
      { title: "PEER", text: ({ peer, unit }) => `${peer} ${unit}`, align: "right" },
      { title: "RATIO", text: ({ ratio }) => ratio, align: "right" },
      { title: "AT MOST", text: ({ target }) => Number(target.toPrecision(3)), align: "right" },
      { title: "", text: ({ ok }) => (ok ? "ok" : "TOO MUCH") },
    ],
    rows,
  );
}

/** Resolves with the exit status. */
async function main(): Promise<number> {
  const { positionals: [name], values: { json = false, tiny = false } } = parseArgs({
    allowPositionals: true,
    options: { json: { type: "boolean" }, tiny: { type: "boolean" } },
  });
  const load = BENCHES[name ?? ""];
  if (load === undefined) {
    console.error(`npm run bench -- NAME [--json] [--tiny], with NAME one of:`);
    console.error(`  ${Object.keys(BENCHES).join(" ")}`);
    return 2;
  }
  const result = await (await load()).run({ tiny });
  console.log(json ? JSON.stringify(result) : render(result));
  return result.ok ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main();
