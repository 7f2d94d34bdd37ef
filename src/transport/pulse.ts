import { type Cancel, type Clock, every } from "../base/clock.ts";
import { DenimError } from "../base/errors.ts";

export interface PulseOptions {
  readonly clock: Clock;
  readonly pingEveryMs: number;
  readonly silentAfterMs: number;
}

/** What a pulse needs of its channel. */
export interface PulseOutlet {
  /** Asks the other side for a sign of life. */
  ping(id: number): unknown;
  /** Nothing came for `silentAfterMs`. */
  dead(reason: DenimError): void;
}

/**
 * Whether the other side still lives. Every byte counts, so a busy connection needs no ping to be
 * believed, and a host that vanished without a word is found out all the same.
 */
export class Pulse {
  readonly #options: PulseOptions;
  readonly #outlet: PulseOutlet;
  #heardMs = 0;
  #pinged = { id: 0, atMs: 0 };
  #rttMs: number | undefined;
  #cancel: Cancel = () => {};

  constructor(options: PulseOptions, outlet: PulseOutlet) {
    this.#options = options;
    this.#outlet = outlet;
  }

  /** The last round trip of a ping. */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  start(): void {
    this.heard();
    this.#cancel = every(this.#options.clock, this.#options.pingEveryMs, () => this.#beat());
  }

  stop(): void {
    this.#cancel();
  }

  heard(): void {
    this.#heardMs = this.#options.clock.monotonicMs();
  }

  pong(id: number): void {
    if (id !== this.#pinged.id) return;
    this.#rttMs = this.#options.clock.monotonicMs() - this.#pinged.atMs;
  }

  #beat(): void {
    const nowMs = this.#options.clock.monotonicMs();
    const silentMs = nowMs - this.#heardMs;
    if (silentMs >= this.#options.silentAfterMs) {
      return this.#outlet.dead(
        new DenimError("CONNECTION_LOST", "The connection was lost", {
          why: `the other side sent nothing for ${silentMs / 1000} s`,
        }),
      );
    }
    this.#pinged = { id: this.#pinged.id + 1, atMs: nowMs };
    this.#outlet.ping(this.#pinged.id);
  }
}
