import type { Canonical } from "../base/canonical.ts";
import { type Cancel, type Clock, every, sleep } from "../base/clock.ts";
import { asDenimError, DenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { CallOptions, Cluster, Feed, Position, View } from "../lease/cluster.ts";
import type { Command } from "../lease/command.ts";
import { equalEpoch, mayFollow, type StateRecord } from "../lease/records.ts";
import type { Channel } from "../transport/channel.ts";
import { backoffMs } from "../transport/link.ts";
import { type FollowItem, KIND } from "../transport/protocol.ts";
import { ask, signalOf } from "./ask.ts";
import { Disk, type DiskOptions } from "./disk.ts";
import { Search } from "./search.ts";

export interface RemoteOptions extends DiskOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Servers to try, best first: `host:port`. Asked at each attempt. */
  readonly servers: () => readonly string[];
  /** One attempt; the channel has been greeted and started. */
  readonly connect: (address: string, signal: AbortSignal) => Promise<Channel>;
}

const CALL_TIMEOUT_MS = 10_000;
const FLUSH_MS = 1_000;
const RETRY_MS = 50;
/** Five times as long as a server takes between two words about how it stands. */
const SILENT_MS = 10_000;
/** A confirmation after this long is news: what waited for one can go on. */
const CONFIRMED_GAP_MS = 3_000;

type Progress = Extract<FollowItem, { kind: "progress" }>;

/**
 * An agent's driver of the cluster port: a connection to any server, and a copy of the state that
 * survives on its own disk. Without a server everything known stays known.
 */
export class Remote implements Cluster {
  readonly #options: RemoteOptions;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<() => void>();
  readonly #search: Search;
  readonly #running: Promise<void>;
  readonly #cancelFlush: Cancel;
  readonly #disk: Disk;
  #channel: Channel | undefined;
  /** The copy is not to be resumed from: it differed from the server's. */
  #distrusted = false;
  /** When the server last said anything in the stream. */
  #heardMs = 0;
  /** When a leader last stood behind the copy, by way of the server. */
  #confirmedMs: number | undefined;
  readonly #startedMs: number;
  #leaderNode: string | undefined;
  /** Ids of the voters that the server reaches, while nobody leads. */
  #reachable: readonly string[] = [];
  #lastError: DenimError | undefined;
  #isOut = false;
  /** Where the next connection goes, found while the last one still stood. */
  #better: string | undefined;

  constructor(options: RemoteOptions) {
    this.#options = options;
    const { clock, random, servers, connect } = options;
    this.#startedMs = clock.monotonicMs();
    this.#disk = new Disk(options);
    this.#search = new Search({ clock, random, servers, connect, signal: this.#stop.signal });
    this.#cancelFlush = every(options.clock, FLUSH_MS, () => {
      this.#disk.flush();
      this.#leaveSilent();
    });
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

  /** Since it last followed one, a server has said that this node is no member. */
  get isOut(): boolean {
    return this.#isOut;
  }

  /** For how long no leader has stood behind the copy, in this driver's lifetime. */
  get leaderlessMs(): number {
    return this.#options.clock.monotonicMs() - (this.#confirmedMs ?? this.#startedMs);
  }

  get reachable(): readonly string[] {
    return this.#channel === undefined ? [] : this.#reachable;
  }

  async propose(command: Command, options: CallOptions = {}): Promise<Canonical> {
    const { channel, leftMs } = await this.#connected(options);
    const asked = { timeoutMs: leftMs, ...signalOf(options) };
    return await ask(channel, KIND.propose, { command }, asked) as Canonical;
  }

  async read(level: "stale" | "linearizable", options: CallOptions = {}): Promise<View> {
    if (level === "stale") return this.view();
    const { clock } = this.#options;
    const startedMs = clock.monotonicMs();
    const endMs = startedMs + (options.timeoutMs ?? CALL_TIMEOUT_MS);
    const { channel, leftMs } = await this.#connected(options);
    const asked = { timeoutMs: leftMs, ...signalOf(options) };
    const wanted = await channel.request(KIND.read, {}, asked) as Position;
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
      leaderNode: this.#leaderNode,
    };
  }

  follow(from: Position | undefined, signal: AbortSignal): AsyncIterable<Feed> {
    return this.#options.copy.feed.follow(from, signal);
  }

  onChange(callback: () => void): () => void {
    const listener = () => callback();
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#cancelFlush();
    this.#channel?.close();
    await this.#running;
    this.#disk.flush();
    await this.#disk.settled();
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#options;
    const { signal } = this.#stop;
    for (let attempts = 1; !signal.aborted; attempts++) {
      if (await this.#tryServers()) attempts = 0;
      await sleep(clock, backoffMs(attempts, random), signal);
    }
  }

  /** One round. It ends after a server that was followed: by then others may be the ones to try. */
  async #tryServers(): Promise<boolean> {
    const { logger } = this.#options;
    const better = this.#better;
    this.#better = undefined;
    const servers = this.#options.servers();
    for (const address of better === undefined ? servers : [better, ...servers]) {
      const followed = await this.#tryServer(address);
      if (this.#stop.signal.aborted) return followed;
      const { message, why } = this.#lastError!;
      if (followed) {
        logger.warn("lost the server", { address, message, why });
        return true;
      }
      logger.debug("cannot follow the server", { address, message, why });
    }
    return false;
  }

  /** Follows the server for as long as it can; false when it never said anything. */
  async #tryServer(address: string): Promise<boolean> {
    let followed = false;
    try {
      const channel = await this.#options.connect(address, this.#stop.signal);
      this.#channel = channel;
      this.#heardMs = this.#options.clock.monotonicMs();
      await this.#followServer(channel, (item) => {
        if (!followed) this.#options.logger.info("following a server", { address });
        followed = true;
        this.#isOut = false;
        if (item.kind === "progress") this.#lookElsewhere(address, item.leaderAgeMs);
      });
      this.#lastError = new DenimError("CONNECTION_LOST", "The server ended the stream");
    } catch (error) {
      this.#lastError = asDenimError(error);
      this.#isOut ||= this.#lastError.code === "NOT_A_MEMBER";
    }
    this.#channel?.close();
    this.#channel = undefined;
    if (this.#leaderNode !== undefined) {
      this.#leaderNode = undefined;
      this.#tell();
    }
    return followed;
  }

  /** Until the stream ends, for whatever reason; the next one resumes where the copy stands. */
  async #followServer(channel: Channel, heard: (item: FollowItem) => void): Promise<void> {
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
      this.#heardMs = this.#options.clock.monotonicMs();
      heard(item);
      switch (item.kind) {
        case "part":
          parts.push(...item.records);
          break;
        case "snapshot":
          await this.#replace(item.position, [...parts.splice(0), ...item.records]);
          this.#tell();
          break;
        case "events":
          copy.take(item.position.revision, item.events);
          this.#tell();
          break;
        case "progress":
          this.#judge(item);
          break;
        default:
          item satisfies never;
      }
    }
  }

  /** Goes where a leader is known, if there is such a place. */
  #lookElsewhere(current: string, leaderAgeMs: number | undefined): void {
    const followed = this.#channel;
    void this.#search.consider(current, leaderAgeMs).then((address) => {
      if (address === undefined || this.#channel !== followed) return;
      this.#better = address;
      followed?.close("another server has a leader");
    });
  }

  /** A connection that lives is no server that works: it says every two seconds how it stands. */
  #leaveSilent(): void {
    const silentMs = this.#options.clock.monotonicMs() - this.#heardMs;
    if (this.#channel === undefined || silentMs < SILENT_MS) return;
    this.#channel.close("the server has said nothing for too long");
  }

  #tell(): void {
    this.#listeners.forEach((listener) => listener());
  }

  async #replace(position: Position, records: readonly StateRecord[]): Promise<void> {
    const { copy, logger } = this.#options;
    const { revision, epoch } = position;
    if (!mayFollow(copy.epoch, epoch)) {
      throw new DenimError("EPOCH_MISMATCH", "The server offers a state of another history");
    }
    copy.replace({ ...copy.applied(), index: revision, term: 0, revision, clockMs: 0 }, records);
    this.#distrusted = false;
    logger.info("took a snapshot", { revision, records: records.length });
    await this.#disk.install();
  }

  /** @throws when the copy is not what the server has: it is then fetched anew */
  #judge({ position, digest, leaderAgeMs, leaderNode, reachable = [] }: Progress): void {
    const { copy, clock, logger } = this.#options;
    const isNews = leaderNode !== this.#leaderNode;
    this.#leaderNode = leaderNode;
    this.#reachable = reachable;
    if (isNews) this.#tell();
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
    const before = this.#confirmedMs ?? -Infinity;
    this.#confirmedMs = Math.max(before, atMs);
    if (atMs - before > CONFIRMED_GAP_MS) this.#tell();
  }

  #reached(wanted: Position): boolean {
    const { epoch, revision } = this.#options.copy.feed.position;
    return equalEpoch(epoch, wanted.epoch) && revision >= wanted.revision;
  }

  /** Waits for a connection for as long as the caller does. */
  async #connected(
    options: CallOptions,
  ): Promise<{ readonly channel: Channel; readonly leftMs: number }> {
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + (options.timeoutMs ?? CALL_TIMEOUT_MS);
    for (;;) {
      const leftMs = endMs - clock.monotonicMs();
      if (this.#stop.signal.aborted || options.signal?.aborted) {
        throw new DenimError("CANCELLED", "The call was given up before anything was sent");
      }
      if (this.#channel?.isClosed === false && leftMs > 0) {
        return { channel: this.#channel, leftMs };
      }
      if (leftMs <= 0) {
        throw new DenimError("NO_LEADER", "No server of the cluster can be reached", {
          why: whyOf(this.#lastError) ?? "none has answered yet",
          fix: "start a server; routes stay as they are until then",
        });
      }
      await sleep(clock, RETRY_MS, options.signal);
    }
  }
}

function whyOf(error: DenimError | undefined): string | undefined {
  return error?.why === undefined ? error?.message : `${error.message}: ${error.why}`;
}
