import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { Channel } from "../transport/channel.ts";
import { KIND } from "../transport/protocol.ts";

export interface SearchOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly servers: () => readonly string[];
  readonly connect: (address: string, signal: AbortSignal) => Promise<Channel>;
  readonly signal: AbortSignal;
}

/** A server that has had no leader for this long is left for one that has. */
const LEADERLESS_MS = 10_000;
const ASK_TIMEOUT_MS = 3_000;
const PAUSE_MIN_MS = 5_000;
const PAUSE_MAX_MS = 60_000;

/**
 * Looks for a server that has a leader while the one that is followed has none. Where nobody has,
 * everybody stays: a fleet on the move would only make it harder for the servers.
 */
export class Search {
  readonly #options: SearchOptions;
  #busy = false;
  #pauseMs = PAUSE_MIN_MS;
  #notBeforeMs = -Infinity;

  constructor(options: SearchOptions) {
    this.#options = options;
  }

  /** To be told of every progress. Resolves with where to go, or with `undefined`: stay. */
  async consider(current: string, leaderAgeMs: number | undefined): Promise<string | undefined> {
    const { clock, random } = this.#options;
    if (leaderAgeMs !== undefined && leaderAgeMs < LEADERLESS_MS) {
      this.#pauseMs = PAUSE_MIN_MS;
      return undefined;
    }
    if (this.#busy || clock.monotonicMs() < this.#notBeforeMs) return undefined;
    this.#busy = true;
    const found = await this.#firstLed(current);
    this.#notBeforeMs = clock.monotonicMs() + this.#pauseMs * (0.5 + random.fraction() / 2);
    this.#pauseMs = Math.min(PAUSE_MAX_MS, this.#pauseMs * 2);
    this.#busy = false;
    return found;
  }

  async #firstLed(current: string): Promise<string | undefined> {
    const { servers, connect, signal } = this.#options;
    for (const address of servers()) {
      if (address === current || signal.aborted) continue;
      try {
        await using channel = await connect(address, signal);
        await channel.request(KIND.read, {}, { timeoutMs: ASK_TIMEOUT_MS, signal });
        return address;
      } catch {
        // Nobody there, or nobody who leads.
      }
    }
    return undefined;
  }
}
