import { asDenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";

/** What is tried by itself, again and again. A failure is told once, until it is another one. */
export class Attempts {
  readonly #logger: Logger;
  /** By what is told: how it failed last. */
  readonly #failures = new Map<string, string>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /**
   * `failed` is what the log says, for example `the ballast cannot be made`. Resolves with whether
   * it went well.
   */
  async make(failed: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      this.#failures.delete(failed);
      return true;
    } catch (error) {
      const { message, why } = asDenimError(error);
      if (this.#failures.get(failed) === message) return false;
      this.#failures.set(failed, message);
      this.#logger.warn(failed, { message, why });
      return false;
    }
  }
}
