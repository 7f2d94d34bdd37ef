/** Runs in a worker of its own, one for each backend from the disk: loads it and answers for it. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { parentPort, workerData } from "node:worker_threads";
import type { Backend } from "../../backend/backend.ts";
import { judge } from "../../backend/contract/suite.ts";
import { BackendRegistry } from "../../backend/registry.ts";
import { readScene } from "../../backend/scene.ts";
import { DenimError } from "../../base/errors.ts";
import { importForeign } from "../foreign.ts";
import { faultOf } from "./fault.ts";
import type { Asked, OwnTest, Question, Questions, Told, WorkerStart } from "./messages.ts";

type Answers = {
  readonly [Q in Question]: (asked: Questions[Q]["asked"]) => Promise<Questions[Q]["answer"]>;
};
type Tests = Readonly<Record<string, () => unknown>>;

const TEST_FILE = /\.test\.(ts|js|mjs)$/;
const FUNCTIONS = ["parseConfig", "parseData", "publish", "plan"] as const;

const { name, path, entry } = workerData as WorkerStart;
const port = parentPort!;

function tell(told: Told): void {
  port.postMessage(told);
}

/** @throws `BACKEND_FAILED`, and whatever the module throws */
async function load(): Promise<Backend> {
  const { backend } = await importForeign(entry, { within: path }) as { backend?: Backend };
  const unfit = (why: string) => new DenimError("BACKEND_FAILED", why);
  if (typeof backend !== "object" || backend === null) {
    throw unfit("it has no export const backend = defineBackend({ … })");
  }
  const missing = FUNCTIONS.find((member) => typeof backend[member] !== "function");
  if (missing !== undefined) throw unfit(`its backend has no function ${missing}`);
  if (!["undefined", "function"].includes(typeof backend.programs)) {
    throw unfit("its backend's programs is no function");
  }
  try {
    new BackendRegistry([backend]);
  } catch (error) {
    throw unfit((error as DenimError).why ?? (error as DenimError).message);
  }
  if (backend.name === name) return backend;
  throw unfit(`its folder is called "${name}", and its backend "${backend.name}"`);
}

function answersOf(backend: Backend): Answers {
  return {
    programs: async ({ config }) =>
      await backend.programs?.(backend.parseConfig(config)) ?? { argvs: [] },
    publish: async ({ host, config }) => await backend.publish(host, backend.parseConfig(config)),
    async plan(raw) {
      const { scene, dropped } = readScene(backend, raw);
      return { plan: await backend.plan(scene), dropped };
    },
    async judge({ name, ...options }) {
      const { failure } = await judge(backend, name, options);
      if (failure === undefined) return { name };
      const { cause, ...rest } = failure;
      const { at } = cause === undefined ? {} : faultOf(cause, path);
      return { name, failure: at === undefined ? rest : { ...rest, why: `${at}: ${rest.why}` } };
    },
    async tests() {
      const files = readdirSync(path).filter((file) => TEST_FILE.test(file)).sort();
      const found: OwnTest[] = [];
      for (const file of files) {
        for (const name of Object.keys(await testsIn(file))) found.push({ file, name });
      }
      return found;
    },
    async test({ file, name }) {
      await (await testsIn(file))[name]!();
      return null;
    },
  };
}

async function testsIn(file: string): Promise<Tests> {
  const { tests } = await importForeign(join(path, file), { within: path }) as { tests?: Tests };
  if (tests !== undefined) return tests;
  throw new DenimError("BACKEND_FAILED", `${file} has no export const tests = { … }`);
}

async function answer({ id, question, asked }: Asked, answers: Answers): Promise<void> {
  try {
    tell({ kind: "answer", id, answer: await answers[question](asked as never) });
  } catch (error) {
    tell({ kind: "fault", id, fault: faultOf(error, path) });
  }
}

// Nobody waits for it, and the place where it was thrown would be lost on the way.
for (const event of ["uncaughtException", "unhandledRejection"] as const) {
  process.on(event, (error: unknown) => tell({ kind: "failed", fault: faultOf(error, path) }));
}

async function main(): Promise<void> {
  try {
    const answers = answersOf(await load());
    port.on("message", (asked: Asked) => void answer(asked, answers));
    tell({ kind: "loaded" });
  } catch (error) {
    tell({ kind: "failed", fault: faultOf(error, path) });
  }
}

void main();
