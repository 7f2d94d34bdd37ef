import type { Json } from "../../backend/backend.ts";
import { configsIn } from "../../backend/contract/readme.ts";
import { PROMISE_NAMES } from "../../backend/contract/suite.ts";
import { asDenimError, type DenimError } from "../../base/errors.ts";
import { BackendWorker, type BackendWorkerOptions } from "../../host/backends/backend-worker.ts";
import { readIfAny } from "../../host/own-files.ts";

export interface TrialOptions extends BackendWorkerOptions {
  /** @default those of its README, else its type alone */
  readonly configs?: readonly Json[];
  readonly seed: number;
  readonly scenes: number;
  /** What its first program prints on the hosts, in turn. @default nothing */
  readonly prints?: readonly string[];
}

/** How a backend did in one thing. */
export interface TrialResult {
  /** A sentence of the contract, or a test of the author's with its file. */
  readonly name: string;
  readonly ok: boolean;
  readonly why?: string;
  /** The scene in which it was so. */
  readonly seed?: number;
}

/**
 * Has a backend keep the contract, then runs the tests that lie beside it. Each is its own: one that
 * takes the whole thread with it costs nothing but itself.
 */
export async function* tryBackend(options: TrialOptions): AsyncGenerator<TrialResult> {
  const { folder, configs = examplesOf(options), seed, scenes, prints } = options;
  const thread = new Threads(options);
  try {
    await thread.use((worker) => worker.load());
    for (const name of PROMISE_NAMES) {
      yield await orFailed(name, async () => {
        const asked = {
          ...{ name, configs, seed, scenes },
          ...(prints === undefined ? {} : { prints }),
        };
        const { failure } = await thread.use((worker) => worker.ask("judge", asked));
        if (failure === undefined) return { name, ok: true };
        const why = `${failure.why}, with ${JSON.stringify(failure.config)}`;
        return { name, ok: false, why, seed: failure.seed };
      });
    }
    const tests = await thread.use((worker) => worker.ask("tests", null)).catch(asDenimError);
    if (!Array.isArray(tests)) {
      yield { name: `the tests in ${folder.path}`, ok: false, why: said(tests as DenimError) };
      return;
    }
    for (const test of tests) {
      const name = `${test.file}: ${test.name}`;
      yield await orFailed(name, async () => {
        await thread.use((worker) => worker.ask("test", test));
        return { name, ok: true };
      });
    }
  } finally {
    await thread[Symbol.asyncDispose]();
  }
}

function examplesOf({ folder }: BackendWorkerOptions): readonly Json[] {
  const configs = configsIn(readIfAny(`${folder.path}/README.md`) ?? "", folder.name);
  return configs.length > 0 ? configs : [{ Type: folder.name }];
}

async function orFailed(name: string, work: () => Promise<TrialResult>): Promise<TrialResult> {
  try {
    return await work();
  } catch (error) {
    return { name, ok: false, why: said(asDenimError(error)) };
  }
}

function said({ message, why }: DenimError): string {
  return why ?? message;
}

/** A thread, and another one once it has failed: here nobody waits before he tries again. */
class Threads implements AsyncDisposable {
  readonly #options: BackendWorkerOptions;
  #worker: BackendWorker | undefined;

  constructor(options: BackendWorkerOptions) {
    this.#options = options;
  }

  async use<T>(work: (worker: BackendWorker) => Promise<T>): Promise<T> {
    this.#worker ??= new BackendWorker(this.#options);
    try {
      return await work(this.#worker);
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.[Symbol.asyncDispose]();
    this.#worker = undefined;
  }
}
