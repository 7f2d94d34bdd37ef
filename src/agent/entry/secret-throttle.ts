import type { Clock } from "../../base/clock.ts";
import { formatDuration } from "../../base/duration.ts";
import { DenimError } from "../../base/errors.ts";
import { tryParseAddress } from "../../ip/address.ts";
import { formatPrefix, prefixOf } from "../../ip/prefix.ts";

interface Window {
  readonly endsMs: number;
  count: number;
}

const WINDOW_MS = 60_000;
const WRONG_MAX = 10;
/** Sources that are remembered; beyond that the one whose minute began first is forgotten. */
const SOURCES_MAX = 4_096;
/** A site has all addresses of such a block (RFC 6177), and one host can use them all. */
const IPV6_SITE_BITS = 64;

/**
 * Counts wrong secrets by where they come from. Guessing 128 bits is hopeless anyway; this keeps a
 * broken script from filling the log, and one that guesses from keeping a server busy. Each server
 * counts for itself.
 */
export class SecretThrottle {
  readonly #clock: Clock;
  /** By source, in the order in which their minutes began. */
  readonly #windows = new Map<string, Window>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws `TOKEN_THROTTLED` while too many wrong ones came from there, whatever comes now */
  refuse(address: string): void {
    const nowMs = this.#clock.monotonicMs();
    const window = this.#windows.get(sourceOf(address));
    if (window === undefined || window.endsMs <= nowMs || window.count < WRONG_MAX) return;
    throw new DenimError("TOKEN_THROTTLED", `Too many wrong tokens came from ${address}`, {
      why: `${WRONG_MAX} within a minute`,
      fix: `try again in ${formatDuration(window.endsMs - nowMs)}, with the right one`,
    });
  }

  noteWrong(address: string): void {
    const source = sourceOf(address);
    const nowMs = this.#clock.monotonicMs();
    const window = this.#windows.get(source);
    if (window !== undefined && window.endsMs > nowMs) {
      window.count++;
      return;
    }
    this.#windows.delete(source);
    this.#windows.set(source, { endsMs: nowMs + WINDOW_MS, count: 1 });
    for (const [oldest, { endsMs }] of this.#windows) {
      if (endsMs > nowMs && this.#windows.size <= SOURCES_MAX) break;
      this.#windows.delete(oldest);
    }
  }

  /** Sources that are remembered now. */
  get size(): number {
    return this.#windows.size;
  }
}

function sourceOf(text: string): string {
  const address = tryParseAddress(text);
  return address?.family === 6 ? formatPrefix(prefixOf(address, IPV6_SITE_BITS)) : text;
}
