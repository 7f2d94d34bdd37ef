import type { Clock } from "../base/clock.ts";
import { DenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";

/** A write that takes this long is told of: until it ends, this server is silent. */
const SLOW_MS = 1_000;
/** A disk that has not answered by then is not waited for any more. */
const HUNG_MS = 30_000;

/**
 * Watches over the one write under way. A hung disk silences a server by itself, since its messages
 * wait for it, and the others elect another leader; this says so, and ends the server when it goes
 * on (hashicorp/raft #503: servers that beat with a dead disk stayed leaders).
 */
export class WriteWatch {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #hung = Promise.withResolvers<void>();
  #sinceMs: number | undefined;
  #told = false;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Resolves when a write is given up, which may never end. */
  get hung(): Promise<void> {
    return this.#hung.promise;
  }

  async over(write: Promise<void>): Promise<void> {
    this.#sinceMs = this.#clock.monotonicMs();
    this.#told = false;
    try {
      await write;
    } finally {
      this.#sinceMs = undefined;
    }
  }

  /** To be called with every tick. @throws `STORE_FAILED` when the disk does not answer any more */
  check(): void {
    if (this.#sinceMs === undefined) return;
    const ageMs = this.#clock.monotonicMs() - this.#sinceMs;
    if (ageMs >= HUNG_MS) {
      this.#hung.resolve();
      throw new DenimError("STORE_FAILED", "The disk does not answer", {
        why: `a write has been under way for ${Math.round(ageMs / 1_000)} s`,
        fix: "look at the disk (dmesg, iostat), then restart the daemon",
      });
    }
    if (ageMs < SLOW_MS || this.#told) return;
    this.#told = true;
    this.#logger.warn("the disk is slow; this server is silent until it answers");
  }
}
