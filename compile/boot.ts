/**
 * The binary's main script: runs the program with the code cache that came with it. Node's own
 * cache for single executables is made before anything has run, and lacks every function that is
 * compiled when it is first called; this one was made after a run (`code-cache.ts`).
 */
import { Buffer } from "node:buffer";
import { createRequire } from "node:module";
import process from "node:process";
import { runProgram } from "./program.ts";

const sea = process.getBuiltinModule("node:sea");

runProgram({
  source: sea.getAsset("program", "utf8"),
  cachedData: Buffer.from(sea.getRawAsset("code-cache")),
  require: createRequire(process.execPath),
});
