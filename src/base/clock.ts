/**
 * Time as a parameter. `Date.now`, `setTimeout` and `performance.now` appear in this file and
 * nowhere else, so that a simulator can own time.
 */
export interface Clock {
  /** Wall clock, milliseconds since 1970. May jump in both directions. */
  wallMs(): number;
  /** Never goes back; stands still while the host is suspended. */
  monotonicMs(): number;
  /** Never goes back within one boot and counts suspend (CLOCK_BOOTTIME). */
  bootMs(): number;
  /** Calls back once after `delayMs`; the result cancels it. */
  after(delayMs: number, callback: () => void): Cancel;
}

export type Cancel = () => void;

/** The longest delay that `setTimeout` takes; a longer one would fire at once. */
const DELAY_MS_MAX = 2 ** 31 - 1;

/** The real clock. `bootMs` comes from the libc binding where there is one. */
export function systemClock(options: { bootMs?: () => number } = {}): Clock {
  const monotonicMs = () => performance.now();
  return {
    wallMs: () => Date.now(),
    monotonicMs,
    bootMs: options.bootMs ?? monotonicMs,
    after(delayMs, callback) {
      const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), DELAY_MS_MAX));
      return () => clearTimeout(timer);
    },
  };
}

/** Resolves after `delayMs`, or at once when `signal` is aborted; never rejects. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const cancel = clock.after(delayMs, done);
    signal?.addEventListener("abort", done, { once: true });
  });
}

/** A signal that is aborted after `delayMs`, unless this is disposed of before. */
export function abortAfter(clock: Clock, delayMs: number): Disposable & { signal: AbortSignal } {
  const abort = new AbortController();
  const cancel = clock.after(delayMs, () => abort.abort());
  return { signal: abort.signal, [Symbol.dispose]: cancel };
}

/** Calls `callback` every `periodMs` until the result is called. The first call is one period away. */
export function every(clock: Clock, periodMs: number, callback: () => void): Cancel {
  let cancel: Cancel;
  const again = () => {
    cancel = clock.after(periodMs, again);
    callback();
  };
  cancel = clock.after(periodMs, again);
  return () => cancel();
}
