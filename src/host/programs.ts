import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { type Clock, sleep } from "../base/clock.ts";
import { asDenimError } from "../base/errors.ts";
import type { Ended, Invocation, Programs } from "../plan/hook.ts";
import { type AllowList, findProgram, PROGRAM_PATH } from "./allow-list.ts";

/** How long a program that is told to end may take before it is killed. */
const MERCY_MS = 2_000;
/** How long its output may outlive it: something that it left behind may hold it for ever. */
const OUTPUT_PATIENCE_MS = 200;
const OUTPUT_CHARACTERS_MAX = 64 * 1024;
const SAID_CHARACTERS_MAX = 300;

/** The programs of this host: those of the allow-list, without a shell, each with a time limit. */
export class HostPrograms implements Programs {
  readonly #allowed: AllowList;
  readonly #clock: Clock;

  constructor(allowed: AllowList, clock: Clock) {
    this.#allowed = allowed;
    this.#clock = clock;
  }

  async check(argvs: readonly (readonly string[])[]): Promise<void> {
    await this.#allowed.check(argvs);
  }

  async run(invocation: Invocation, signal: AbortSignal): Promise<Ended> {
    try {
      const { argv } = invocation;
      await this.#allowed.check([argv]);
      return await this.#run(await findProgram(argv[0]!), invocation, signal);
    } catch (error) {
      const { message, why } = asDenimError(error);
      return { out: "", error: why === undefined ? message : `${message}: ${why}` };
    }
  }

  /** Its own process group goes with it, and nothing of the daemon's environment comes along. */
  async #run(program: string, invocation: Invocation, signal: AbortSignal): Promise<Ended> {
    const { name, argv, env, input, timeoutMs } = invocation;
    if (signal.aborted) return { out: "", error: `${name} was not run: the daemon stops` };
    const child = spawn(program, argv.slice(1), {
      cwd: "/",
      env: { PATH: PROGRAM_PATH, LC_ALL: "C.UTF-8", ...env },
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
    const [out, err] = [collect(child.stdout), collect(child.stderr)];
    // A program that does not read its input may be gone before it is written.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    const ended = endOf(child);
    const stopped = await this.#watch(child, ended.exit, { timeoutMs, signal });
    const end = await ended.exit;
    await this.#briefly(ended.close);
    for (const stream of [child.stdout, child.stderr]) stream.destroy();
    const said = lastLine(err()) ?? lastLine(out());
    if (stopped === undefined && end === "ended with 0") return { out: out() };
    const what = stopped ?? end;
    return { out: out(), error: `${name} ${what}${said === undefined ? "" : `: ${said}`}` };
  }

  /** Why it was made to end; `undefined` where it did by itself. */
  async #watch(
    child: ChildProcess,
    exit: Promise<unknown>,
    { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
  ): Promise<string | undefined> {
    const done = new AbortController();
    const either = AbortSignal.any([done.signal, signal]);
    const late = sleep(this.#clock, timeoutMs, either).then(() => "late");
    const first = await Promise.race([exit.then(() => "exit"), late]);
    done.abort();
    if (first === "exit") return undefined;
    kill(child, "SIGTERM");
    const mercy = new AbortController();
    await Promise.race([exit, sleep(this.#clock, MERCY_MS, mercy.signal)]);
    mercy.abort();
    // What it has started may not have listened either.
    kill(child, "SIGKILL");
    return signal.aborted
      ? "was ended: the daemon stops"
      : `did not end within ${timeoutMs / 1_000} s`;
  }

  async #briefly(close: Promise<void>): Promise<void> {
    const done = new AbortController();
    await Promise.race([close, sleep(this.#clock, OUTPUT_PATIENCE_MS, done.signal)]);
    done.abort();
  }
}

function endOf(child: ChildProcess): { exit: Promise<string>; close: Promise<void> } {
  const close = Promise.withResolvers<void>();
  const exit = Promise.withResolvers<string>();
  child.once("error", (error) => {
    exit.resolve(`could not be started: ${error.message}`);
    close.resolve();
  });
  child.once("exit", (status, signal) => {
    exit.resolve(status === null ? `was ended by ${signal}` : `ended with ${status}`);
  });
  child.once("close", () => close.resolve());
  return { exit: exit.promise, close: close.promise };
}

/** The beginning of what comes; the rest is read and forgotten. */
function collect(stream: NodeJS.ReadableStream): () => string {
  let text = "";
  stream.setEncoding("utf8");
  stream.on("data", (part: string) => {
    if (text.length < OUTPUT_CHARACTERS_MAX) text += part;
  });
  stream.on("error", () => {});
  return () => text.slice(0, OUTPUT_CHARACTERS_MAX);
}

/** Programs end with what went wrong. */
function lastLine(text: string): string | undefined {
  const line = text.split("\n").map((line) => line.trim()).filter(Boolean).at(-1);
  // deno-lint-ignore no-control-regex
  return line?.replace(/[\0-\x1f\x7f]/g, "").slice(0, SAID_CHARACTERS_MAX);
}

function kill({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It is gone, and all that it has started.
  }
}
