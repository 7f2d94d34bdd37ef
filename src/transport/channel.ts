import type { Clock } from "../base/clock.ts";
import { asDenimError, assert, DenimError } from "../base/errors.ts";
import { FRAME_BYTES_PEER } from "./frame.ts";
import { type Handlers, type RequestHandler, RunningRequest } from "./handlers.ts";
import { type Packet, readPacket } from "./packet.ts";
import { Pulse } from "./pulse.ts";
import { ChannelSink, StreamReader } from "./stream.ts";
import type { Wire } from "./wire.ts";

export interface ChannelOptions {
  readonly clock: Clock;
  /** For messages: who is at the other end. */
  readonly peer?: string;
  /** The send queue is full above this. @default 4 MiB */
  readonly queueBytesMax?: number;
  /** What a stream's reader may leave lying. @default 16 MiB */
  readonly streamBytesMax?: number;
  /** Requests and streams of the peer that run at once. @default 256 */
  readonly runningMax?: number;
  /** @default 2 s */
  readonly pingEveryMs?: number;
  /** Without a byte for this long the connection is dead. @default 6 s */
  readonly silentAfterMs?: number;
  /** Kinds that the peer may use; another one ends the connection. @default all */
  readonly allow?: (kind: string) => boolean;
  /** A notification was dropped because the send queue was full. */
  readonly onDrop?: (kind: string, droppedTotal: number) => void;
}

export interface RequestOptions {
  /** @default 10 s */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

interface Waiting {
  resolve(body: unknown): void;
  reject(error: DenimError): void;
}

const DEFAULTS = {
  peer: "the peer",
  queueBytesMax: 4 * 1024 * 1024,
  streamBytesMax: 16 * 1024 * 1024,
  runningMax: 256,
  pingEveryMs: 2_000,
  silentAfterMs: 6_000,
  allow: () => true,
  onDrop: () => {},
};
const TIMEOUT_MS = 10_000;

/**
 * Numbered requests both ways, one-way notifications and streams on one connection. Every queue
 * has a limit: a full one drops notifications, closes streams and fails requests, each of which
 * its user can make good; it never holds more memory.
 */
export class Channel implements AsyncDisposable {
  /** Resolves with the reason once the connection is over. */
  readonly closed: Promise<DenimError>;
  readonly #wire: Wire;
  readonly #options: Required<ChannelOptions>;
  readonly #waiting = new Map<number, Waiting>();
  readonly #readers = new Map<number, StreamReader>();
  readonly #running = new Map<number, RunningRequest | ChannelSink>();
  readonly #pulse: Pulse;
  #handlers: Handlers | undefined;
  #lastId = 0;
  #dropped = 0;

  constructor(wire: Wire, options: ChannelOptions) {
    this.#wire = wire;
    this.#options = { ...DEFAULTS, ...options };
    this.#pulse = new Pulse(this.#options, {
      ping: (id) => wire.queuedBytes === 0 && this.#post({ t: "ping", id }),
      dead: (reason) => wire.destroy(reason),
    });
    this.closed = new Promise((resolve) =>
      wire.onClose((reason) => {
        this.#abandon(reason);
        resolve(reason);
      })
    );
  }

  get isClosed(): boolean {
    return this.#wire.closed;
  }

  /** Notifications that were dropped because the queue was full. */
  get dropped(): number {
    return this.#dropped;
  }

  /** The last round trip of a ping. */
  get rttMs(): number | undefined {
    return this.#pulse.rttMs;
  }

  /** Begins to read. Until then whatever the peer sends waits. */
  start(handlers: Handlers): this {
    assert(this.#handlers === undefined, "a channel starts once");
    this.#handlers = handlers;
    if (this.#wire.closed) return this;
    this.#pulse.start();
    this.#wire.flow(
      (message, bytes) => this.#receive(readPacket(message), bytes),
      () => this.#pulse.heard(),
    );
    return this;
  }

  /**
   * Asks and waits. Rejects with what the other side threw, or `TIMEOUT`, `CANCELLED`,
   * `OVERLOADED` (nothing was sent) or `CONNECTION_LOST` (the other side may have acted).
   */
  request(kind: string, body: unknown, options: RequestOptions = {}): Promise<unknown> {
    const { timeoutMs = TIMEOUT_MS, signal } = options;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(cancelled(kind));
      if (this.isClosed) return reject(this.#lost(undefined));
      const id = ++this.#lastId;
      const settle = () => {
        this.#waiting.delete(id);
        cancelTimer();
        signal?.removeEventListener("abort", onAbort);
      };
      const giveUp = (error: DenimError) => {
        this.#post({ t: "cancel", id });
        waiting.reject(error);
      };
      const onAbort = () => giveUp(cancelled(kind));
      const cancelTimer = this.#options.clock.after(
        timeoutMs,
        () => giveUp(this.#noAnswer(kind, timeoutMs)),
      );
      const waiting: Waiting = {
        resolve: (value) => (settle(), resolve(value)),
        reject: (error) => (settle(), reject(error)),
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiting.set(id, waiting);
      try {
        if (!this.#offer({ t: "ask", id, kind, body })) waiting.reject(this.#overloaded(kind));
      } catch (error) {
        waiting.reject(asDenimError(error));
      }
    });
  }

  /** Sends without an answer. False when it was dropped because the queue is full. */
  notify(kind: string, body: unknown): boolean {
    if (this.#offer({ t: "tell", kind, body })) return true;
    this.#options.onDrop(kind, ++this.#dropped);
    return false;
  }

  /**
   * Opens a stream. The iterator ends when the other side is done and throws what ended it early:
   * `OVERLOADED` (resume), `CONNECTION_LOST`, or the handler's error. Leaving the loop closes it.
   */
  open(
    kind: string,
    body: unknown,
    options: { signal?: AbortSignal } = {},
  ): AsyncIterableIterator<unknown> {
    const id = ++this.#lastId;
    const onAbort = () => reader.stop();
    const reader = new StreamReader(this.#options.streamBytesMax, (stoppedHere) => {
      this.#readers.delete(id);
      options.signal?.removeEventListener("abort", onAbort);
      if (stoppedHere) this.#post({ t: "cancel", id });
    });
    this.#readers.set(id, reader);
    options.signal?.addEventListener("abort", onAbort, { once: true });
    if (options.signal?.aborted) reader.stop();
    else if (this.isClosed) reader.end(this.#lost(undefined));
    else {
      try {
        if (!this.#offer({ t: "open", id, kind, body })) reader.end(this.#overloaded(kind));
      } catch (error) {
        reader.end(asDenimError(error));
      }
    }
    return reader;
  }

  /** Ends it at once, where the other side cannot hear of it. */
  abandon(why: string): void {
    this.#wire.destroy(new DenimError("CONNECTION_LOST", "The connection was lost", { why }));
  }

  /** Sends what waits, then ends. */
  close(why = "this side closed it"): void {
    this.#wire.farewell(
      new DenimError("CONNECTION_LOST", "The connection was closed", { why }),
      this.#options.clock,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.closed;
  }

  #receive(packet: Packet, bytes: number): void {
    switch (packet.t) {
      case "ask":
      case "open":
        return this.#serve(packet);
      case "tell":
        if (!this.#permits(packet.kind)) return;
        return this.#handlers!.findNotice(packet.kind)?.(packet.body, this);
      case "answer":
        return this.#waiting.get(packet.id)?.resolve(packet.body);
      case "failure":
        return this.#waiting.get(packet.id)?.reject(DenimError.fromJSON(packet.error));
      case "item":
        return this.#readers.get(packet.id)?.push(packet.body, bytes);
      case "end":
        return this.#readers.get(packet.id)
          ?.end(packet.error === undefined ? undefined : DenimError.fromJSON(packet.error));
      case "cancel":
        return this.#cancel(packet.id);
      case "ping":
        return this.#post({ t: "pong", id: packet.id });
      case "pong":
        return this.#pulse.pong(packet.id);
      default:
        packet satisfies never;
    }
  }

  #serve(packet: Packet & { t: "ask" | "open" }): void {
    const { id, kind, body } = packet;
    if (!this.#permits(kind)) return;
    const refuse = (error: DenimError) =>
      this.#post({ t: packet.t === "ask" ? "failure" : "end", id, error: error.toJSON() });
    if (this.#running.has(id)) return this.#wire.destroy(reusedId(id));
    if (this.#running.size >= this.#options.runningMax) return refuse(this.#overloaded(kind));
    if (packet.t === "ask") {
      const handler = this.#handlers!.findRequest(kind);
      return handler ? this.#answer(id, body, handler) : refuse(unknownKind(kind));
    }
    const handler = this.#handlers!.findStream(kind);
    if (handler === undefined) return refuse(unknownKind(kind));
    const sink = new ChannelSink(this, {
      offer: (item) => this.#offer({ t: "item", id, body: item }),
      room: () => this.#wire.room(this.#options.queueBytesMax / 2),
      end: (error) => {
        this.#running.delete(id);
        this.#post({ t: "end", id, ...(error ? { error: error.toJSON() } : {}) });
      },
    });
    this.#running.set(id, sink);
    (async () => await handler(body, sink))().then(
      () => sink.finish(),
      (error) => sink.finish(error),
    );
  }

  #answer(id: number, body: unknown, handler: RequestHandler): void {
    const request = new RunningRequest(this);
    this.#running.set(id, request);
    const fail = (error: unknown) =>
      this.#post({ t: "failure", id, error: asDenimError(error).toJSON() });
    (async () => await handler(body, request))()
      .then((value) => {
        if (!this.#offer({ t: "answer", id, body: value })) fail(this.#overloaded("the answer"));
      })
      .catch(fail)
      .finally(() => this.#running.delete(id));
  }

  #cancel(id: number): void {
    const running = this.#running.get(id);
    if (running instanceof ChannelSink) {
      this.#running.delete(id);
      running.abandon();
    } else running?.abort();
  }

  #permits(kind: string): boolean {
    if (this.#options.allow(kind)) return true;
    this.#wire.destroy(
      new DenimError("NOT_A_MEMBER", `A stranger asked for "${kind.slice(0, 40)}"`, {
        why: "a connection without a certificate may only join or rejoin",
      }),
    );
    return false;
  }

  /** Small packets that must not be lost. They end a connection whose peer takes nothing at all. */
  #post(packet: Packet): void {
    this.#wire.send(packet);
    if (this.#wire.queuedBytes <= 2 * this.#options.queueBytesMax + FRAME_BYTES_PEER) return;
    this.#wire.destroy(this.#overloaded("anything"));
  }

  #offer(packet: Packet): boolean {
    if (this.#wire.queuedBytes > this.#options.queueBytesMax) return false;
    this.#wire.send(packet);
    return true;
  }

  #abandon(reason: DenimError): void {
    this.#pulse.stop();
    for (const waiting of [...this.#waiting.values()]) waiting.reject(this.#lost(reason));
    for (const reader of [...this.#readers.values()]) reader.end(this.#lost(reason));
    for (const id of [...this.#running.keys()]) this.#cancel(id);
  }

  #lost(reason: DenimError | undefined): DenimError {
    const why = reason === undefined ? "it is closed" : reason.why ?? reason.message;
    return new DenimError("CONNECTION_LOST", `The connection to ${this.#options.peer} was lost`, {
      why,
      cause: reason,
    });
  }

  #overloaded(kind: string): DenimError {
    return new DenimError("OVERLOADED", `Cannot send ${kind} to ${this.#options.peer} now`, {
      why: "its connection carries more than it can take",
      fix: "try again",
    });
  }

  #noAnswer(kind: string, timeoutMs: number): DenimError {
    return new DenimError("TIMEOUT", `${this.#options.peer} did not answer "${kind}"`, {
      why: `nothing came within ${timeoutMs / 1000} s`,
    });
  }
}

function cancelled(kind: string): DenimError {
  return new DenimError("CANCELLED", `"${kind}" was cancelled`);
}

function unknownKind(kind: string): DenimError {
  return new DenimError("PROTOCOL", `Cannot answer "${kind.slice(0, 40)}"`, {
    why: "this node does not know this kind of message",
    fix: "the peer may be a newer version: upgrade this node",
  });
}

function reusedId(id: number): DenimError {
  return new DenimError("PROTOCOL", `Request ${id} was sent twice`);
}
