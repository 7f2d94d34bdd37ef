import type { Clock } from "../../src/base/clock.ts";

/** Real time, run faster: for what waits for the disk, which a clock that stands still starves. */
export function fastClock(speed: number, wallMs = Date.now()): Clock {
  const startMs = performance.now();
  const monotonicMs = () => (performance.now() - startMs) * speed;
  return {
    wallMs: () => wallMs + monotonicMs(),
    monotonicMs,
    bootMs: monotonicMs,
    after(delayMs, callback) {
      const timer = setTimeout(callback, Math.max(0, delayMs / speed));
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
