import { assert } from "../base/errors.ts";
import type { Channel } from "./channel.ts";

export interface RequestContext {
  readonly channel: Channel;
  /** Aborted when the asker gave up or the connection is gone. */
  readonly signal: AbortSignal;
}

/** One request under way. Its signal is made when somebody looks: most handlers never do. */
export class RunningRequest implements RequestContext {
  readonly channel: Channel;
  #abort: AbortController | undefined;
  #aborted = false;

  constructor(channel: Channel) {
    this.channel = channel;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#aborted) this.#abort.abort();
    return this.#abort.signal;
  }

  abort(): void {
    this.#aborted = true;
    this.#abort?.abort();
  }
}

/** Answers a request; what it throws reaches the asker as a `DenimError`. */
export type RequestHandler = (body: unknown, context: RequestContext) => unknown;

/** What it throws ends the connection. */
export type NoticeHandler = (body: unknown, channel: Channel) => void;

/** Yields items until it returns, throws, or `sink.signal` is aborted. */
export type StreamHandler = (body: unknown, sink: Sink) => Promise<void>;

/** The writing end of a stream. */
export interface Sink {
  readonly channel: Channel;
  /** Aborted when either side closed the stream. */
  readonly signal: AbortSignal;
  /** False when the stream is closed: by the reader, or by this call because the queue was full. */
  send(item: unknown): boolean;
  /** For long snapshots: resolves when there is room again; false when the stream is closed. */
  room(): Promise<boolean>;
}

/** What a node answers, by kind. One table may serve many channels. */
export class Handlers {
  readonly #requests = new Map<string, RequestHandler>();
  readonly #notices = new Map<string, NoticeHandler>();
  readonly #streams = new Map<string, StreamHandler>();

  request(kind: string, handler: RequestHandler): this {
    return this.#add(this.#requests, kind, handler);
  }

  notice(kind: string, handler: NoticeHandler): this {
    return this.#add(this.#notices, kind, handler);
  }

  stream(kind: string, handler: StreamHandler): this {
    return this.#add(this.#streams, kind, handler);
  }

  findRequest(kind: string): RequestHandler | undefined {
    return this.#requests.get(kind);
  }

  findNotice(kind: string): NoticeHandler | undefined {
    return this.#notices.get(kind);
  }

  findStream(kind: string): StreamHandler | undefined {
    return this.#streams.get(kind);
  }

  #add<Handler>(table: Map<string, Handler>, kind: string, handler: Handler): this {
    assert(!table.has(kind), `one handler for "${kind}"`);
    table.set(kind, handler);
    return this;
  }
}
