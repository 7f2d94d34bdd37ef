/** The wait after the first failure; it doubles with each further one. */
const FIRST_DELAY_MS = 1_000;
const DELAY_MS_MAX = 60_000;

interface Failure {
  readonly error: string;
  readonly delayMs: number;
  readonly dueMs: number;
}

/** Which things failed, and when each may be tried again. Each waits on its own. */
export class Retries {
  readonly #failures = new Map<string, Failure>();

  /** The last error of something that has to wait; `undefined` when it may be tried. */
  waiting(key: string, nowMs: number): string | undefined {
    const failure = this.#failures.get(key);
    return failure !== undefined && nowMs < failure.dueMs ? failure.error : undefined;
  }

  /** @returns whether this error is news */
  failed(key: string, error: string, nowMs: number): boolean {
    const last = this.#failures.get(key);
    const delayMs = last === undefined ? FIRST_DELAY_MS : Math.min(last.delayMs * 2, DELAY_MS_MAX);
    this.#failures.set(key, { error, delayMs, dueMs: nowMs + delayMs });
    return last?.error !== error;
  }

  /** Forgets what has succeeded, or is not asked for any more. */
  keepOnly(keys: ReadonlySet<string>): void {
    for (const key of this.#failures.keys()) if (!keys.has(key)) this.#failures.delete(key);
  }

  /** The world has changed: everything may be tried at once. The next wait is no shorter. */
  hurry(): void {
    for (const [key, failure] of this.#failures) {
      this.#failures.set(key, { ...failure, dueMs: -Infinity });
    }
  }

  /**
   * When the first of them may be tried; `undefined` when none waits.
   *
   * @param afterMs leaves out those that may be tried by then
   */
  nextDueMs(afterMs?: number): number | undefined {
    const due = [...this.#failures.values()].map((failure) => failure.dueMs)
      .filter((dueMs) => afterMs === undefined || dueMs > afterMs);
    return due.length === 0 ? undefined : due.reduce((a, b) => Math.min(a, b));
  }
}
