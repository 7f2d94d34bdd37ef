import type { Worker } from "node:worker_threads";
import type { Cancel, Clock } from "../../base/clock.ts";
import { asDenimError, DenimError } from "../../base/errors.ts";
import { faultOf, placeOf } from "./fault.ts";
import { backendAt, type BackendFolder, requireOwned } from "./folder.ts";
import type { Asked, Fault, Question, Questions, Told } from "./messages.ts";
import { startThread } from "./thread.ts";

export interface BackendWorkerOptions {
  readonly folder: BackendFolder;
  readonly clock: Clock;
  /** For each answer, and for loading. @default 5 s */
  readonly limitMs?: number;
  /** Loads it whoever can write to it: somebody is at work on it. @default false */
  readonly draft?: boolean;
}

/** Hundred times what the largest plans take; nobody waits longer for the next repair. */
const LIMIT_MS = 5_000;
const FIRST_DELAY_MS = 1_000;
const DELAY_MS_MAX = 60_000;

interface Waiting {
  readonly question: Question;
  readonly wrong: (answer: never) => string | undefined;
  readonly resolve: (answer: never) => void;
  readonly reject: (error: DenimError) => void;
  readonly cancel: Cancel;
}

/** Stays until what has failed goes well; `question`: of any. */
interface Failure {
  readonly error: DenimError;
  readonly question: Question | undefined;
  readonly delayMs: number;
  readonly dueMs: number;
}

/**
 * A backend from the disk in a thread of its own. Whatever it does there, this process goes on: what
 * takes too long, or too much memory, ends with its thread. After a failure the thread is started
 * again, by the next question and not before some time has passed; it loads the files as they are
 * then.
 */
export class BackendWorker implements AsyncDisposable {
  readonly #options: BackendWorkerOptions;
  #folder: BackendFolder;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #loaded: PromiseWithResolvers<void> | undefined;
  #ids = 0;
  #failure: Failure | undefined;

  constructor(options: BackendWorkerOptions) {
    this.#options = options;
    this.#folder = options.folder;
  }

  /**
   * @param wrong what is wrong with an answer: one that is not as it has to be is a failure, too
   * @throws `BACKEND_FAILED` with file and line, as far as they are known, at once where it is too
   *   early to try again; what the backend itself refused, `CONFIG_INVALID`
   */
  async ask<Q extends Question>(
    question: Q,
    asked: Questions[Q]["asked"],
    wrong: (answer: Questions[Q]["answer"]) => string | undefined = () => undefined,
  ): Promise<Questions[Q]["answer"]> {
    await this.load();
    const { clock } = this.#options;
    const worker = this.#worker;
    if (worker === undefined) throw this.#failure!.error;
    const id = ++this.#ids;
    return await new Promise<Questions[Q]["answer"]>((resolve, reject) => {
      const late = () => {
        const text = `it gave no answer within ${this.#limitS} s`;
        this.#fail(question, { text, at: this.#placeOf(question) });
      };
      const cancel = clock.after(this.#limitMs, late);
      this.#waiting.set(id, { question, wrong, resolve, reject, cancel });
      worker.postMessage({ id, question, asked } satisfies Asked<Q>);
    });
  }

  /** @throws `BACKEND_FAILED` */
  async load(): Promise<void> {
    await (this.#loaded ?? this.#start()).promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const why = `the backend "${this.#folder.name}" is not asked any more`;
    await this.#drop(new DenimError("CANCELLED", why));
  }

  get #limitMs(): number {
    return this.#options.limitMs ?? LIMIT_MS;
  }

  get #limitS(): number {
    return this.#limitMs / 1_000;
  }

  #start(): PromiseWithResolvers<void> {
    const { clock } = this.#options;
    if (this.#failure !== undefined && clock.monotonicMs() < this.#failure.dueMs) {
      throw this.#failure.error;
    }
    const loaded = Promise.withResolvers<void>();
    // Whoever waits hears of a failure; else it is nobody's.
    loaded.promise.catch(() => {});
    this.#loaded = loaded;
    try {
      // By now its module may have another name.
      this.#folder = backendAt(this.#folder.path);
      if (this.#options.draft !== true) requireOwned(this.#folder);
    } catch (error) {
      const { code, message, why } = asDenimError(error);
      if (code === "BACKEND_FAILED") this.#end(error as DenimError);
      else this.#fail(undefined, { text: why ?? message, at: this.#folder.path });
      return loaded;
    }
    const { name, path, entry } = this.#folder;
    const worker = startThread({ name, path, entry });
    this.#worker = worker;
    const ended = (text: string, at?: string) => {
      if (this.#worker === worker) this.#fail(undefined, { text, ...(at ? { at } : {}) });
    };
    const late = () => ended(`it was not loaded within ${this.#limitS} s`);
    const cancel = clock.after(this.#limitMs, late);
    worker.on("message", (told: Told) => {
      if (this.#worker !== worker) return;
      try {
        if (told.kind === "loaded" || told.kind === "failed") cancel();
        this.#hear(told);
      } catch {
        // The thread's port is at hand for whoever looks for it, and not only for answers.
        ended("it has sent what is no answer");
      }
    });
    worker.on("error", (error: unknown) => ended(...deathOf(error, path)));
    worker.on("exit", () => {
      cancel();
      ended("its thread has ended");
    });
    return loaded;
  }

  #hear(told: Told): void {
    if (told.kind === "loaded") return this.#loaded!.resolve();
    if (told.kind === "failed") return void this.#fail(undefined, told.fault);
    const waiting = this.#waiting.get(told.id);
    if (waiting === undefined) return;
    const { question, wrong } = waiting;
    // Until all of it was read somebody waits: a failure tells them, whatever it is.
    if (told.kind === "fault") {
      const { said } = told.fault;
      if (said === undefined) return void this.#fail(question, told.fault);
      const error = DenimError.fromJSON(said);
      return this.#takeOut(told.id, waiting).reject(error);
    }
    const text = wrong(told.answer as never);
    if (text !== undefined) {
      return void this.#fail(question, { text, at: this.#placeOf(question) });
    }
    if ((this.#failure?.question ?? question) === question) this.#failure = undefined;
    this.#takeOut(told.id, waiting).resolve(told.answer as never);
  }

  #takeOut(id: number, waiting: Waiting): Waiting {
    this.#waiting.delete(id);
    waiting.cancel();
    return waiting;
  }

  /** Where it does what it is asked, as far as its text shows that. */
  #placeOf(question: Question): string {
    return placeOf(this.#folder.entry, question);
  }

  /** @returns what everybody is told who waits for it, or asks again too early */
  #fail(question: Question | undefined, { text, at }: Omit<Fault, "said">): DenimError {
    const { name, path, entry } = this.#folder;
    const error = new DenimError("BACKEND_FAILED", sayFailure(name, question), {
      why: `${at ?? entry}: ${text}`,
      fix: `denim backend test ${path}`,
    });
    return this.#end(error, question);
  }

  /** It is not asked again before it was loaded anew. */
  #end(error: DenimError, question?: Question): DenimError {
    const before = this.#failure?.delayMs;
    const delayMs = before === undefined ? FIRST_DELAY_MS : Math.min(before * 2, DELAY_MS_MAX);
    const dueMs = this.#options.clock.monotonicMs() + delayMs;
    this.#failure = { error, question, delayMs, dueMs };
    void this.#drop(error);
    return error;
  }

  async #drop(error: DenimError): Promise<void> {
    const [worker, loaded] = [this.#worker, this.#loaded];
    this.#worker = undefined;
    this.#loaded = undefined;
    loaded?.reject(error);
    for (const { reject, cancel } of this.#waiting.values()) {
      cancel();
      reject(error);
    }
    this.#waiting.clear();
    await worker?.terminate();
  }
}

function sayFailure(name: string, question: Question | undefined): string {
  const where = question === undefined ? "" : ` in ${question}()`;
  return `The backend "${name}" has failed${where}`;
}

/** Why a thread ended, and where, if it is known. */
function deathOf(error: unknown, path: string): [text: string, at?: string] {
  if ((error as { code?: string }).code === "ERR_WORKER_OUT_OF_MEMORY") {
    return ["it used more memory than a backend has"];
  }
  const { text, at } = faultOf(error, path);
  return at === undefined ? [text] : [text, at];
}
