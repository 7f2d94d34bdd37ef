import type { Canonical } from "../base/canonical.ts";
import { type Cancel, type Clock, every, sleep } from "../base/clock.ts";
import { asDenimError, DenimError, isDenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { CallOptions, Cluster, Feed, Position, View } from "../lease/cluster.ts";
import type { Command } from "../lease/command.ts";
import { equalEpoch, type StateRecord } from "../lease/records.ts";
import type { Copy } from "../store/copy.ts";
import type { Store } from "../store/store.ts";
import type { Channel } from "../transport/channel.ts";
import { backoffMs } from "../transport/link.ts";
import { type FollowItem, KIND } from "../transport/protocol.ts";

export interface RemoteOptions {
  readonly store: Store;
  readonly copy: Copy;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Servers to try, best first: `host:port`. Asked at each attempt. */
  readonly servers: () => readonly string[];
  /** One attempt; the channel has been greeted and started. */
  readonly connect: (address: string, signal: AbortSignal) => Promise<Channel>;
  /** The store failed: the node goes on in memory. */
  readonly onFailed: (error: DenimError) => void;
}

const CALL_TIMEOUT_MS = 10_000;
const FLUSH_MS = 1_000;
const RETRY_MS = 50;

/**
 * An agent's driver of the cluster port: a connection to any server, and a copy of the state that
 * survives on its own disk. Without a server everything known stays known.
 */
export class Remote implements Cluster {
  readonly #options: RemoteOptions;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<() => void>();
  readonly #running: Promise<void>;
  readonly #cancelFlush: Cancel;
  #writing: Promise<void> = Promise.resolve();
  #storeFailed = false;
  #channel: Channel | undefined;
  /** The copy is not to be resumed from: it differed from the server's. */
  #distrusted = false;
  /** When a leader last stood behind the copy, by way of the server. */
  #confirmedMs: number | undefined;
  #lastError: DenimError | undefined;

  constructor(options: RemoteOptions) {
    this.#options = options;
    this.#cancelFlush = every(options.clock, FLUSH_MS, () => this.#flush());
    this.#running = this.#run();
  }

  /** The connection to the server that is followed; `undefined` while there is none. */
  get channel(): Channel | undefined {
    return this.#channel;
  }

  /** Why there is no connection. */
  get lastError(): DenimError | undefined {
    return this.#channel === undefined ? this.#lastError : undefined;
  }

  async propose(command: Command, options: CallOptions = {}): Promise<Canonical> {
    const { channel, leftMs } = await this.#connected(options);
    return await this.#ask(channel, KIND.propose, { command }, leftMs) as Canonical;
  }

  async read(level: "stale" | "linearizable", options: CallOptions = {}): Promise<View> {
    if (level === "stale") return this.view();
    const { clock } = this.#options;
    const startedMs = clock.monotonicMs();
    const endMs = startedMs + (options.timeoutMs ?? CALL_TIMEOUT_MS);
    const { channel, leftMs } = await this.#connected(options);
    const wanted = await this.#ask(channel, KIND.read, {}, leftMs) as Position;
    while (!this.#reached(wanted)) {
      if (clock.monotonicMs() >= endMs || options.signal?.aborted || channel.isClosed) {
        throw new DenimError("TIMEOUT", "This node's copy did not catch up in time");
      }
      await sleep(clock, RETRY_MS, options.signal);
    }
    this.#confirm(startedMs);
    return this.view();
  }

  view(): View {
    const { copy, clock } = this.#options;
    const confirmedMs = this.#confirmedMs;
    return {
      state: copy.state,
      position: copy.feed.position,
      leaderAgeMs: confirmedMs === undefined ? undefined : clock.monotonicMs() - confirmedMs,
      leaderNode: undefined,
    };
  }

  follow(from: Position | undefined, signal: AbortSignal): AsyncIterable<Feed> {
    return this.#options.copy.feed.follow(from, signal);
  }

  onChange(callback: () => void): () => void {
    this.#listeners.add(callback);
    return () => this.#listeners.delete(callback);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#cancelFlush();
    this.#channel?.close();
    await this.#running;
    this.#flush();
    await this.#writing;
  }

  async #run(): Promise<void> {
    const { clock, random, logger } = this.#options;
    const { signal } = this.#stop;
    for (let attempts = 1; !signal.aborted; attempts++) {
      for (const address of this.#options.servers()) {
        if (signal.aborted) return;
        const followed = await this.#tryServer(address);
        if (followed) attempts = 0;
        if (signal.aborted) return;
        const { message, why } = this.#lastError!;
        const fields = { address, message, why };
        if (followed) logger.warn("lost the server", fields);
        else logger.debug("cannot follow the server", fields);
      }
      await sleep(clock, backoffMs(attempts, random), signal);
    }
  }

  /** Follows the server for as long as it can; false when it never came to that. */
  async #tryServer(address: string): Promise<boolean> {
    let followed = false;
    try {
      const channel = await this.#options.connect(address, this.#stop.signal);
      followed = true;
      this.#channel = channel;
      this.#options.logger.info("following a server", { address });
      await this.#followServer(channel);
      this.#lastError = new DenimError("CONNECTION_LOST", "The server ended the stream");
    } catch (error) {
      this.#lastError = asDenimError(error);
    }
    this.#channel?.close();
    this.#channel = undefined;
    return followed;
  }

  /** Until the stream ends, for whatever reason; the next one resumes where the copy stands. */
  async #followServer(channel: Channel): Promise<void> {
    const { copy } = this.#options;
    const from = copy.feed.position;
    const resumes = from.revision > 0 && !this.#distrusted;
    const stream = channel.open(KIND.follow, resumes ? { from } : {}, {
      signal: this.#stop.signal,
    }) as AsyncIterable<FollowItem>;
    // The first word on how fresh the copy is; later ones come with the stream.
    this.read("linearizable").catch(() => {});
    const parts: StateRecord[] = [];
    for await (const item of stream) {
      if (item.kind === "part") parts.push(...item.records);
      else if (item.kind === "snapshot") {
        await this.#replace(item.position, [...parts.splice(0), ...item.records]);
      } else this.#take(item);
      this.#listeners.forEach((listener) => listener());
    }
  }

  #take(item: Extract<Feed, { kind: "events" | "progress" }>): void {
    if (item.kind === "events") this.#options.copy.take(item.position.revision, item.events);
    else this.#judge(item);
  }

  async #replace(position: Position, records: readonly StateRecord[]): Promise<void> {
    const { copy, store, logger } = this.#options;
    const { revision } = position;
    copy.replace({ ...copy.applied(), index: revision, term: 0, revision, clockMs: 0 }, records);
    this.#distrusted = false;
    logger.info("took a snapshot", { revision, records: records.length });
    const applied = copy.applied();
    this.#writing = this.#writing.then(() =>
      this.#write(() => store.install({ applied, records }))
    );
    await this.#writing;
  }

  /** @throws when the copy is not what the server has: it is then fetched anew */
  #judge({ position, digest, leaderAgeMs }: Extract<Feed, { kind: "progress" }>): void {
    const { copy, clock, logger } = this.#options;
    const here = copy.feed.position;
    if (!equalEpoch(position.epoch, here.epoch) || position.revision !== here.revision) return;
    if (digest !== copy.digest) {
      this.#distrusted = true;
      logger.error("the copy differs from the server's; fetching it anew", {
        revision: here.revision,
      });
      throw new DenimError("STORE_DAMAGED", "This node's copy differed from the server's");
    }
    if (leaderAgeMs !== undefined) this.#confirm(clock.monotonicMs() - leaderAgeMs);
  }

  #confirm(atMs: number): void {
    this.#confirmedMs = Math.max(this.#confirmedMs ?? atMs, atMs);
  }

  #reached(wanted: Position): boolean {
    const { epoch, revision } = this.#options.copy.feed.position;
    return equalEpoch(epoch, wanted.epoch) && revision >= wanted.revision;
  }

  #flush(): void {
    const { copy, store } = this.#options;
    this.#writing = this.#writing.then(async () => {
      if (copy.dirty) await this.#write(() => store.write({ state: copy.takeUnwritten() }));
    });
  }

  async #write(write: () => Promise<void>): Promise<void> {
    if (this.#storeFailed) return;
    try {
      await write();
    } catch (error) {
      this.#storeFailed = true;
      this.#options.onFailed(asDenimError(error));
    }
  }

  /** Waits for a connection for as long as the caller does. */
  async #connected(
    options: CallOptions,
  ): Promise<{ readonly channel: Channel; readonly leftMs: number }> {
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + (options.timeoutMs ?? CALL_TIMEOUT_MS);
    for (;;) {
      const leftMs = endMs - clock.monotonicMs();
      if (this.#channel?.isClosed === false) return { channel: this.#channel, leftMs };
      if (leftMs <= 0 || options.signal?.aborted || this.#stop.signal.aborted) {
        throw new DenimError("NO_LEADER", "No server of the cluster can be reached", {
          why: this.#lastError?.message ?? "none has answered yet",
          fix: "start a server; routes stay as they are until then",
        });
      }
      await sleep(clock, RETRY_MS, options.signal);
    }
  }

  async #ask(channel: Channel, kind: string, body: unknown, timeoutMs: number): Promise<unknown> {
    try {
      return await channel.request(kind, body, { timeoutMs: Math.max(timeoutMs, 1) });
    } catch (error) {
      if (!isDenimError(error, "CONNECTION_LOST", "TIMEOUT")) throw error;
      throw new DenimError("OUTCOME_UNKNOWN", "The change may or may not have been made", {
        why: error.message,
        fix: "look before you repeat it: denim status",
        cause: error,
      });
    }
  }
}
