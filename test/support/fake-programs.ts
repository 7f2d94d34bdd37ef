import type { Ended, Invocation, Programs } from "../../src/plan/hook.ts";
import { DenimError } from "../../src/base/errors.ts";

/** Programs in memory: what was run, in order, and how it is to end. */
export class FakePrograms implements Programs {
  /** The words of everything that was begun. */
  readonly begun: string[] = [];
  /** How many run now, and at most ran at the same time. */
  running = 0;
  most = 0;
  allowed = true;
  /** What a program says, by its words: an error, or a promise for one that takes its time. */
  end: (
    words: string,
    timeoutMs: number,
  ) => string | undefined | Promise<string | undefined> = () => undefined;
  out = "";

  check(argvs: readonly (readonly string[])[]): Promise<void> {
    if (this.allowed || argvs.length === 0) return Promise.resolve();
    return Promise.reject(new DenimError("PERMISSION_DENIED", "not allowed"));
  }

  async run({ argv, timeoutMs }: Invocation, signal: AbortSignal): Promise<Ended> {
    const words = argv.join(" ");
    this.begun.push(words);
    this.running++;
    this.most = Math.max(this.most, this.running);
    const stopped = Promise.withResolvers<string>();
    const stop = () => stopped.resolve("was ended");
    signal.addEventListener("abort", stop, { once: true });
    const error = await Promise.race([this.end(words, timeoutMs), stopped.promise]);
    signal.removeEventListener("abort", stop);
    this.running--;
    return { out: this.out, ...(error === undefined ? {} : { error }) };
  }

  /** What was begun since the last call. */
  take(): string[] {
    return this.begun.splice(0);
  }
}

/** A program that has not ended, until it is told to. */
export function hanging(): { readonly end: Promise<undefined>; readonly release: () => void } {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  return { end: promise, release: () => resolve(undefined) };
}
