import { type Clock, sleep } from "../base/clock.ts";
import { asDenimError, type DenimError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { Channel } from "./channel.ts";

export interface LinkOptions {
  /** One attempt; resolves with a greeted channel that has been started. */
  readonly dial: (signal: AbortSignal) => Promise<Channel>;
  readonly clock: Clock;
  readonly random: Random;
  readonly onUp?: (channel: Channel) => void;
  readonly onDown?: (reason: DenimError) => void;
  /** An attempt failed; told each time, because a raft core wants to hear it. */
  readonly onUnreachable?: (reason: DenimError, attempts: number) => void;
}

const DELAY_MIN_MS = 100;
const DELAY_MAX_MS = 5_000;

/** Keeps one connection to a peer alive for as long as it lives itself. */
export class Link implements AsyncDisposable {
  readonly #options: LinkOptions;
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;
  #channel: Channel | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#done = this.#run();
  }

  current(): Channel | undefined {
    return this.#channel;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    this.#channel?.close();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { clock, random, onUp, onDown, onUnreachable } = this.#options;
    const { signal } = this.#abort;
    for (let attempts = 0; !signal.aborted;) {
      try {
        const channel = await this.#options.dial(signal);
        attempts = 0;
        if (signal.aborted) return channel.close();
        this.#channel = channel;
        onUp?.(channel);
        const reason = await channel.closed;
        this.#channel = undefined;
        onDown?.(reason);
      } catch (error) {
        attempts++;
        if (!signal.aborted) onUnreachable?.(asDenimError(error), attempts);
      }
      await sleep(clock, backoffMs(attempts, random), signal);
    }
  }
}

/** Doubles up to the limit; between half and all of it, so that a crowd does not come back at once. */
export function backoffMs(attempts: number, random: Random): number {
  const fullMs = Math.min(DELAY_MAX_MS, DELAY_MIN_MS * 2 ** Math.min(attempts, 10));
  return fullMs * (0.5 + random.fraction() / 2);
}
