/** `npm start [-- …]`: builds the binary where it is missing or old, and becomes `denim demo …`. */
import { spawn } from "node:child_process";
import process from "node:process";
import { findTarget, HOST_TARGET, missingFiles } from "./targets.ts";

/** One line for whoever cannot run this, instead of a stack trace. */
function obstacle(): string | undefined {
  const target = findTarget(HOST_TARGET);
  if (target === undefined) {
    return `Denim runs on Linux (x64 and arm64), and this is ${HOST_TARGET}.`;
  }
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 24) {
    return `Denim needs Node 24, and this is ${process.version}: run npm ci, which brings it.`;
  }
  const [missing] = missingFiles(target);
  return missing === undefined ? undefined : `${missing} is missing: run npm ci.`;
}

async function start(): Promise<void> {
  const wrong = obstacle();
  if (wrong !== undefined) {
    console.error(wrong);
    process.exitCode = 1;
    return;
  }
  const { build } = await import("./build.ts");
  become(await build(findTarget(HOST_TARGET)!, (line) => console.error(line)));
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

start().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
