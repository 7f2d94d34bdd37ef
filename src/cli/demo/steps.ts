import type { Clock } from "../../base/clock.ts";
import { asDenimError, type DenimError } from "../../base/errors.ts";

export interface StepResult {
  readonly what: string;
  readonly ok: boolean;
  readonly tookMs: number;
}

export interface StepsOptions {
  readonly clock: Clock;
  readonly say: (text: string) => void;
  /** Columns of the terminal, which then also shows what is under way. */
  readonly widthMax: number | undefined;
}

const WIDTH_MIN = 30;

/** What is done one after the other, each with a mark and a time as soon as it is over. */
export class Steps {
  readonly results: StepResult[] = [];
  readonly #options: StepsOptions;

  constructor(options: StepsOptions) {
    this.#options = options;
  }

  /** `tell` adds in a few words what came out. */
  async run<T>(what: string, act: () => Promise<T>, tell?: (result: T) => string): Promise<T> {
    const { clock } = this.#options;
    const startedMs = clock.monotonicMs();
    this.#show(what);
    try {
      const result = await act();
      const told = tell?.(result);
      this.#close(told === undefined ? what : `${what}: ${told}`, true, startedMs);
      return result;
    } catch (error) {
      this.#close(what, false, startedMs);
      throw error;
    }
  }

  #show(what: string): void {
    const { say, widthMax } = this.#options;
    // A terminal may not know its width; a line that wraps could not be taken back.
    if (widthMax !== undefined) say(`  … ${what}`.slice(0, Math.max(widthMax - 1, WIDTH_MIN)));
  }

  #close(what: string, ok: boolean, startedMs: number): void {
    const { clock, say, widthMax } = this.#options;
    const tookMs = Math.round(clock.monotonicMs() - startedMs);
    this.results.push({ what, ok, tookMs });
    const erase = widthMax === undefined ? "" : "\r\x1b[2K";
    say(`${erase}  ${ok ? "✓" : "✗"} ${what} (${(tookMs / 1000).toFixed(1)} s)\n`);
  }
}

/** A step that failed, and whose log may say why. */
export class StepFailure extends Error {
  readonly reason: DenimError;
  readonly host: string | undefined;

  constructor(cause: unknown, host: string | undefined) {
    super("a step failed", { cause });
    this.reason = asDenimError(cause);
    this.host = host;
  }
}
