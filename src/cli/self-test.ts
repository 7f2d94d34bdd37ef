import type { Command } from "commander";
import { asDenimError, DenimError, type ErrorJson } from "../base/errors.ts";
import type { CommandContext } from "./command.ts";
import { renderJson, renderTable } from "./output.ts";
import type { Probe } from "./probes.ts";

export interface ProbeResult {
  readonly name: string;
  readonly ok: boolean;
  readonly found?: string;
  readonly error?: ErrorJson;
}

/** Runs all of them, also after one has failed. */
export async function runProbes(probes: readonly Probe[]): Promise<ProbeResult[]> {
  const results: ProbeResult[] = [];
  for (const { name, run } of probes) {
    try {
      results.push({ name, ok: true, found: await run() });
    } catch (error) {
      results.push({ name, ok: false, error: asDenimError(error).toJSON() });
    }
  }
  return results;
}

interface SelfTestFlags {
  readonly foreign?: string;
  readonly start?: string;
  readonly json?: true;
}

/** For packagers and bug reports; hidden, because it says nothing about a cluster. */
export function registerSelfTest(program: Command, { io, backends }: CommandContext): void {
  program.command("self-test", { hidden: true })
    .description("check that the parts of this program work on this host")
    .option("--foreign <dir>", "load the backend in this folder as one from the disk is loaded")
    .option("--start <folder>", "try a node's start alone; the node stays in the folder")
    .option("--json", "as JSON")
    .action(async ({ foreign, start, json }: SelfTestFlags) => {
      const { foreignProbe, probesOf, startProbesOf } = await import("./probes.ts");
      const probes = start ? startProbesOf(backends, start) : probesOf(backends);
      const results = await runProbes(foreign ? [...probes, foreignProbe(foreign)] : probes);
      const ok = results.every((result) => result.ok);
      io.out(json ? renderJson({ ok, probes: results }) : renderResults(results, io.widthMax));
      if (ok) return;
      throw new DenimError("CHECKS_FAILED", "A part of this program does not work on this host", {
        fix: "send the output of `denim self-test --json` with a bug report",
      });
    });
}

function renderResults(results: readonly ProbeResult[], widthMax: number | undefined): string {
  return renderTable<ProbeResult>(
    [
      { title: "PART", text: ({ name }) => name },
      { title: "RESULT", text: ({ ok }) => (ok ? "ok" : "FAILED") },
      { title: "FOUND", text: ({ found, error }) => found ?? error?.message, shrinks: true },
    ],
    results,
    widthMax,
  );
}
