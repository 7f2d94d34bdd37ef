import { asDenimError, DenimError } from "../base/errors.ts";
import type { Channel } from "./channel.ts";
import type { Sink } from "./handlers.ts";

/** What a sink needs of its channel. */
export interface SinkOutlet {
  /** False when the connection's send queue is full. */
  offer(item: unknown): boolean;
  /** Resolves when there is room again, or the connection is gone. */
  room(): Promise<void>;
  /** The stream is over; an error says why it is not complete. */
  end(error: DenimError | undefined): void;
}

/** The writing end: closes itself when the reader is too slow, so that the reader resumes. */
export class ChannelSink implements Sink {
  readonly channel: Channel;
  readonly #outlet: SinkOutlet;
  readonly #abort = new AbortController();

  constructor(channel: Channel, outlet: SinkOutlet) {
    this.channel = channel;
    this.#outlet = outlet;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  send(item: unknown): boolean {
    if (this.signal.aborted) return false;
    if (this.#offer(item)) return true;
    this.finish(
      new DenimError("OVERLOADED", "The stream was closed because its reader is too slow", {
        why: "the connection's send queue is full",
        fix: "resume from the last revision received",
      }),
    );
    return false;
  }

  async room(): Promise<boolean> {
    if (!this.signal.aborted) await this.#outlet.room();
    return !this.signal.aborted;
  }

  /** Ends the stream on this side and tells the reader. */
  finish(error?: unknown): void {
    if (this.signal.aborted) return;
    this.#abort.abort();
    this.#outlet.end(error === undefined ? undefined : asDenimError(error));
  }

  /** The reader has gone: nothing more to tell it. */
  abandon(): void {
    this.#abort.abort();
  }

  #offer(item: unknown): boolean {
    try {
      return this.#outlet.offer(item);
    } catch (error) {
      this.finish(error);
      return true;
    }
  }
}

interface Item {
  readonly body: unknown;
  readonly bytes: number;
}

/**
 * The reading end. Holds at most `bytesMax` of what its consumer has not taken; more ends the
 * stream with `OVERLOADED`, because stopping the socket would also stop every other answer.
 */
export class StreamReader implements AsyncIterableIterator<unknown> {
  readonly #bytesMax: number;
  readonly #onStop: (stoppedHere: boolean) => void;
  readonly #items: Item[] = [];
  #heldBytes = 0;
  #ended = false;
  #error: DenimError | undefined;
  #wake: (() => void) | undefined;

  /** `onStop` is called once; true when this side ended the stream and the writer must hear it. */
  constructor(bytesMax: number, onStop: (stoppedHere: boolean) => void) {
    this.#bytesMax = bytesMax;
    this.#onStop = onStop;
  }

  push(body: unknown, bytes: number): void {
    if (this.#ended) return;
    if (this.#heldBytes + bytes > this.#bytesMax && this.#items.length > 0) {
      return this.stop(
        new DenimError("OVERLOADED", "The stream was closed because nobody took its items"),
      );
    }
    this.#items.push({ body, bytes });
    this.#heldBytes += bytes;
    this.#wake?.();
  }

  /** The writer ended it, or the connection did. What has arrived can still be taken. */
  end(error?: DenimError): void {
    this.#end(error, false);
  }

  /** This side ends it. */
  stop(error?: DenimError): void {
    this.#end(error, true);
  }

  async next(): Promise<IteratorResult<unknown>> {
    while (this.#items.length === 0) {
      if (this.#ended) {
        const error = this.#error;
        this.#error = undefined;
        if (error !== undefined) throw error;
        return { done: true, value: undefined };
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
    const item = this.#items.shift()!;
    this.#heldBytes -= item.bytes;
    return { done: false, value: item.body };
  }

  return(): Promise<IteratorResult<unknown>> {
    this.#items.length = 0;
    this.stop();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #end(error: DenimError | undefined, stoppedHere: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#onStop(stoppedHere);
    this.#wake?.();
  }
}
