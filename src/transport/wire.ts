import type { Duplex } from "node:stream";
import type { Clock } from "../base/clock.ts";
import { asDenimError, DenimError } from "../base/errors.ts";
import { encodeFrame, FrameDecoder } from "./frame.ts";

export type Consumer = (message: unknown, bytes: number) => void;

/**
 * Whole messages both ways between two ends, in order. Drivers: `SocketWire`, and the simulator's.
 */
export interface Wire {
  /** The largest message in either direction; raised once the peer has been judged. */
  payloadBytesMax: number;
  readonly closed: boolean;
  /** Bytes that were sent and still wait in this process. */
  readonly queuedBytes: number;
  /** Throws `PROTOCOL` on a message that is too large; the wire stays usable. */
  send(message: unknown): void;
  /** One message, or the reason why none will come. For the time before {@link flow}. */
  receive(): Promise<unknown>;
  /** Hands every message over as it comes, from now on. */
  flow(consumer: Consumer, onBytes: () => void): void;
  /** Called once, when the connection is over; at once when it already is. */
  onClose(callback: (reason: DenimError) => void): void;
  /** Resolves when at most `bytes` wait in this process, or the wire is closed. */
  room(bytes: number): Promise<void>;
  /** Ends at once, unless a farewell is under way. The first reason given is the one reported. */
  destroy(reason: DenimError): void;
  /** Sends what waits, then ends. */
  farewell(reason: DenimError, clock: Clock): void;
}

/** How long a side that has said its last word waits for the other to hang up. */
const FAREWELL_MS = 1_000;

/**
 * One duplex socket that carries framed messages. Nothing is read while nobody asks: a message
 * that arrives before its reader stays in the decoder, and the kernel holds the rest back.
 */
export class SocketWire implements Wire {
  payloadBytesMax: number;
  readonly #socket: Duplex;
  readonly #decoder = new FrameDecoder();
  #consumer: Consumer | undefined;
  #onBytes: (() => void) | undefined;
  #onClose: ((reason: DenimError) => void)[] = [];
  #waiting: { readonly bytes: number; readonly resolve: () => void }[] = [];
  #reason: DenimError | undefined;
  #closed = false;
  #ending = false;

  constructor(socket: Duplex, payloadBytesMax: number) {
    this.#socket = socket;
    this.payloadBytesMax = payloadBytesMax;
    socket.on("data", (chunk: Uint8Array) => this.#heard(chunk));
    socket.on("error", (error: Error) => this.#reason ??= lost(error.message, error));
    socket.on("close", () => this.#close());
    socket.pause();
    if (socket.destroyed) queueMicrotask(() => this.#close());
  }

  get closed(): boolean {
    return this.#closed;
  }

  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  send(message: unknown): void {
    const frame = encodeFrame(message, this.payloadBytesMax);
    if (!this.#closed && !this.#ending && this.#socket.writable) {
      this.#socket.write(frame, () => this.#sent());
    }
  }

  receive(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#reason);
      this.onClose(reject);
      this.#consumer = (message) => {
        this.#consumer = undefined;
        this.#socket.pause();
        resolve(message);
      };
      this.#pump();
    });
  }

  flow(consumer: Consumer, onBytes: () => void): void {
    this.#consumer = consumer;
    this.#onBytes = onBytes;
    this.#pump();
  }

  onClose(callback: (reason: DenimError) => void): void {
    if (this.#closed) callback(this.#reason!);
    else this.#onClose.push(callback);
  }

  room(bytes: number): Promise<void> {
    if (this.#closed || this.queuedBytes <= bytes) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ bytes, resolve }));
  }

  destroy(reason: DenimError): void {
    if (this.#ending) return;
    this.#reason ??= reason;
    this.#socket.destroy();
  }

  /**
   * Sends what waits, then ends. Goes on reading, and throws it away: a socket that is closed with
   * unread bytes sends a reset, and that can overtake the last message.
   */
  farewell(reason: DenimError, clock: Clock): void {
    if (this.#closed || this.#ending) return;
    this.#ending = true;
    this.#reason ??= reason;
    this.#consumer = undefined;
    this.#socket.end();
    this.#socket.resume();
    const cancel = clock.after(FAREWELL_MS, () => this.#socket.destroy());
    this.onClose(cancel);
  }

  #heard(chunk: Uint8Array): void {
    if (this.#ending) return;
    this.#onBytes?.();
    this.#decoder.push(chunk);
    this.#pump();
  }

  #pump(): void {
    try {
      while (this.#consumer !== undefined && !this.#closed && !this.#ending) {
        const next = this.#decoder.next(this.payloadBytesMax);
        if (next === undefined) {
          this.#socket.resume();
          return;
        }
        this.#consumer(next.message, next.bytes);
      }
      if (this.#consumer === undefined && !this.#ending) this.#socket.pause();
    } catch (error) {
      this.destroy(asDenimError(error));
    }
  }

  #sent(): void {
    if (this.#waiting.length === 0) return;
    const ready = (bytes: number) => this.#closed || this.queuedBytes <= bytes;
    for (const { resolve } of this.#waiting.filter(({ bytes }) => ready(bytes))) resolve();
    this.#waiting = this.#waiting.filter(({ bytes }) => !ready(bytes));
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reason ??= lost(
      this.#decoder.pendingBytes > 0
        ? "the other side ended it in the middle of a message"
        : "the other side ended it",
    );
    this.#sent();
    for (const callback of this.#onClose.splice(0)) callback(this.#reason);
  }
}

function lost(why: string, cause?: unknown): DenimError {
  return new DenimError("CONNECTION_LOST", "The connection was lost", { why, cause });
}
