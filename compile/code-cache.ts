/**
 * `node compile/code-cache.ts PROGRAM OUTPUT FOLDER NAME=ADDON…`: has the bundled program start the
 * node in FOLDER, which is founded where it is not there yet, and keeps what V8 has compiled by
 * then. Run twice it is what every start needs and nothing else. To be run by the very Node that
 * goes into the binary, on the machine that it is for.
 */
import { Buffer } from "node:buffer";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import process from "node:process";
import { runProgram } from "./program.ts";

const [program, output, folder, ...addons] = process.argv.slice(2) as string[];
const paths = new Map(addons.map((addon) => addon.split("=") as [string, string]));

// The program asks the binary for its add-ons; here they are still files.
const builtin = process.getBuiltinModule;
const sea = {
  isSea: () => true,
  getRawAsset: (name: string) => new Uint8Array(readFileSync(paths.get(name)!)).buffer,
};
process.getBuiltinModule =
  ((name: string) => name === "node:sea" ? sea : builtin(name)) as typeof builtin;

process.argv = [process.execPath, process.execPath, "self-test", "--start", folder!];
const script = runProgram({
  source: readFileSync(program!, "utf8"),
  cachedData: Buffer.alloc(0),
  require: createRequire(process.execPath),
});
// Whatever it has found: that is for the binary's own self-test to judge.
process.once("exit", () => {
  writeFileSync(output!, script.createCachedData());
  process.exitCode = 0;
});
