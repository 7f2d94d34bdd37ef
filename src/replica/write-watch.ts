import type { Clock } from "../base/clock.ts";
import { DenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";

/** A write that takes this long is told of: until it ends, this server is silent. */
const SLOW_MS = 1_000;
/** A disk that has not answered by then is not waited for any more. */
const HUNG_MS = 30_000;
/** No longer than this counts between two looks: a process that was paused says nothing of the disk. */
const LOOK_MAX_MS = 1_000;

/**
 * Watches over the one write under way. A hung disk silences a server by itself, since its messages
 * wait for it, and the others elect another leader; this says so, and ends the server when it goes
 * on (hashicorp/raft #503: servers that beat with a dead disk stayed leaders).
 */
export class WriteWatch {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #hung = Promise.withResolvers<void>();
  /** The age of the write under way. */
  #ageMs: number | undefined;
  #lookedMs = 0;
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
    this.#ageMs = 0;
    this.#lookedMs = this.#clock.monotonicMs();
    this.#told = false;
    try {
      await write;
    } finally {
      this.#ageMs = undefined;
    }
  }

  /** To be called with every tick. @throws `STORE_FAILED` when the disk does not answer any more */
  check(): void {
    if (this.#ageMs === undefined) return;
    const nowMs = this.#clock.monotonicMs();
    this.#ageMs += Math.min(nowMs - this.#lookedMs, LOOK_MAX_MS);
    this.#lookedMs = nowMs;
    if (this.#ageMs >= HUNG_MS) {
      this.#hung.resolve();
      throw new DenimError("STORE_FAILED", "The disk does not answer", {
        why: `a write has been under way for ${Math.round(this.#ageMs / 1_000)} s`,
        fix: "look at the disk (dmesg, iostat), then restart the daemon",
      });
    }
    if (this.#ageMs < SLOW_MS || this.#told) return;
    this.#told = true;
    this.#logger.warn("the disk is slow; this server is silent until it answers");
  }
}
