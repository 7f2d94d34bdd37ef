import { setInterval } from "node:timers";
import type { Clock } from "../../src/base/clock.ts";

/**
 * Longer than this at a stretch no time passes. A process that had to wait for the processor, or
 * was busy with one thing, has not waited in vain for an answer: it could not have heard it.
 */
const STEP_MAX_MS = 10;
const LOOK_MS = 4;

let passedMs = 0;
let lookedMs: number | undefined;

/** Real time, as far as this process had a share in it. */
function sharedMs(): number {
  // It keeps no test from ending.
  if (lookedMs === undefined) setInterval(sharedMs, LOOK_MS).unref();
  const nowMs = performance.now();
  passedMs += Math.min(nowMs - (lookedMs ?? nowMs), STEP_MAX_MS);
  lookedMs = nowMs;
  return passedMs;
}

/**
 * Real time, run faster: for what waits for the disk, which a clock that stands still starves. It is
 * no faster than this process: on a busy machine all that is timed by it takes as much longer.
 */
export function fastClock(speed: number, wallMs = Date.now()): Clock {
  const startMs = sharedMs();
  const monotonicMs = () => (sharedMs() - startMs) * speed;
  return {
    wallMs: () => wallMs + monotonicMs(),
    monotonicMs,
    bootMs: monotonicMs,
    after(delayMs, callback) {
      const waitMs = Math.max(0, delayMs / speed);
      const dueMs = sharedMs() + waitMs;
      const look = () => {
        const leftMs = dueMs - sharedMs();
        if (leftMs > 0) timer = setTimeout(look, leftMs);
        else callback();
      };
      let timer = setTimeout(look, waitMs);
      return () => clearTimeout(timer);
    },
  };
}

/** Waits until something is so. Generous: the machine may be busy with other things. */
export async function until(
  what: string,
  condition: () => boolean | undefined,
  timeoutMs = 60_000,
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`waited in vain until ${what}`);
    await new Promise<void>((resolve) => setTimeout(resolve, 3));
  }
}
