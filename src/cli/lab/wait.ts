import { type Clock, sleep } from "../../base/clock.ts";
import { DenimError } from "../../base/errors.ts";

export interface WaitOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

const PERIOD_MS = 40;

/**
 * Asks again and again until there is an answer. Rejects with `TIMEOUT`, which says what was
 * waited for, or with `CANCELLED`.
 */
export async function waitFor<T>(
  what: string,
  options: WaitOptions,
  ask: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const { clock, timeoutMs, signal } = options;
  const endMs = clock.monotonicMs() + timeoutMs;
  for (;;) {
    if (signal?.aborted) throw new DenimError("CANCELLED", "Interrupted");
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (clock.monotonicMs() >= endMs) {
      throw new DenimError("TIMEOUT", `Waited ${timeoutMs / 1000} s: ${what}`);
    }
    await sleep(clock, PERIOD_MS, signal);
  }
}
