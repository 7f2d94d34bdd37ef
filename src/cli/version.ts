import process from "node:process";
import type { Command } from "commander";
import type { CommandContext } from "./command.ts";
import { renderJson } from "./output.ts";

export function registerVersion(program: Command, { io, version }: CommandContext): void {
  program.command("version")
    .description("show the version and what it runs on")
    .option("--json", "as JSON")
    .action(async ({ json }: { json?: true }) => {
      const { inSingleBinary } = await import("../host/foreign.ts");
      const report = {
        version,
        runtime: runtimeName(),
        platform: `${process.platform}-${process.arch}`,
        binary: inSingleBinary(),
      };
      if (json || io.env["DENIM_OUTPUT"] === "json") return io.out(renderJson(report));
      const how = report.binary ? "single binary" : "from source";
      io.out(`denim ${version}\n${report.runtime} on ${report.platform}, ${how}\n`);
    });
}

/** Deno calls itself Node too, but names itself first. */
function runtimeName(): string {
  const { deno, node } = process.versions;
  return deno === undefined ? `node ${node}` : `deno ${deno}`;
}
