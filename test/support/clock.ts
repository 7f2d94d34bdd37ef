import type { Cancel, Clock } from "../../src/base/clock.ts";

/** A clock that stands still until a test moves it. All three times advance together. */
export class FakeClock implements Clock {
  #nowMs: number;
  #timers: { dueMs: number; order: number; callback: () => void }[] = [];
  #order = 0;

  constructor(startMs = 1_000_000) {
    this.#nowMs = startMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  bootMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): Cancel {
    const timer = { dueMs: this.#nowMs + Math.max(delayMs, 0), order: this.#order++, callback };
    this.#timers.push(timer);
    return () => (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  /** How many wait for a later time. */
  get waiting(): number {
    return this.#timers.length;
  }

  /** Moves time, firing what falls due in order, and lets promises settle in between. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    for (;;) {
      await settle();
      this.#timers.sort((a, b) => a.dueMs - b.dueMs || a.order - b.order);
      const next = this.#timers[0];
      if (next === undefined || next.dueMs > endMs) break;
      this.#timers.shift();
      this.#nowMs = next.dueMs;
      next.callback();
    }
    this.#nowMs = endMs;
    await settle();
  }
}

/** Lets everything run that waits for a promise only, not for time or IO. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
