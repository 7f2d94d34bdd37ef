/** The rest of `npm start [-- …]`: builds the binary where needed and becomes `denim demo …`. */
import { spawn } from "node:child_process";
import process from "node:process";
import { findTarget, HOST_TARGET, missingFiles } from "./targets.ts";

/** Rejects with an error in plain words. */
export async function start(): Promise<void> {
  const target = findTarget(HOST_TARGET)!;
  const [missing] = missingFiles(target);
  if (missing !== undefined) throw new Error(`${missing} is missing: run npm ci.`);
  const { build } = await import("./build.ts");
  become(await build(target, (line) => console.error(line)));
}

/** Runs the binary in this one's place: its terminal, its signals, its exit status. */
function become(binary: string): void {
  const parameters = ["demo", ...process.argv.slice(2)];
  const child = spawn(binary, parameters, { stdio: "inherit" });
  // A terminal sends Ctrl-C to both; whoever stops us from outside means the program.
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => child.kill(signal));
  }
  child.on("error", (error) => {
    console.error(`Cannot run ${binary}: ${error.message}`);
    process.exitCode = 1;
  });
  child.on("exit", (status, signal) => {
    process.exitCode = status ?? (signal === "SIGINT" ? 130 : 1);
  });
}
