import { Worker } from "node:worker_threads";
import process from "node:process";
import { inSingleBinary } from "../foreign.ts";
import type { WorkerStart } from "./messages.ts";

/** What a backend may use; what it keeps outside of JavaScript's heap is not counted. */
const LIMITS = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 };

/** The single binary carries the worker's program as an asset of this name (`compile/build.ts`). */
export const WORKER_ASSET = "backend-worker";

/**
 * A thread for one backend. It gets nothing of this process' environment: tokens are in there. Nor
 * of its flags: what they have Node load may need that environment.
 */
export function startThread(start: WorkerStart): Worker {
  const apart = { env: {}, execArgv: [] };
  const options = { workerData: start, ...apart, resourceLimits: LIMITS, name: start.name };
  if (!inSingleBinary()) {
    return new Worker(new URL("./worker-main.ts", import.meta.url), options);
  }
  const program = process.getBuiltinModule("node:sea").getAsset(WORKER_ASSET, "utf8");
  return new Worker(program, { ...options, eval: true });
}
