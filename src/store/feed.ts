import { Queue } from "../base/queue.ts";
import type { Event, Feed, Position } from "../lease/cluster.ts";
import { equalEpoch, type StateRecord } from "../lease/records.ts";

/** Entries kept for followers that come back; an older position gets a snapshot. */
export const HISTORY_ENTRIES = 10_000;
/** What one follower may leave unread before it is sent away to resume. */
const UNREAD_MAX = 4_096;

/** Events that are told together: some megabyte of them. */
const EVENTS_MAX = 1_000;

export interface FeedOptions {
  /** The revisioned records, now. */
  readonly records: () => readonly StateRecord[];
  readonly position: Position;
  /** @default {@link HISTORY_ENTRIES} */
  readonly historyEntries?: number;
}

/**
 * The recent past of a copy, and those who follow it. A follower is never served anything older
 * than it has seen, never skips an event in silence, and never makes anybody wait: a slow one is
 * closed and resumes from its last position (etcd #17529, #15271, #18089).
 */
export class FeedHistory {
  readonly #records: () => readonly StateRecord[];
  readonly #historyEntries: number;
  #position: Position;
  /** Followers from before this revision get a snapshot. */
  #compactRevision: number;
  #entries: { readonly revision: number; readonly events: readonly Event[] }[] = [];
  readonly #followers = new Set<Queue<Feed>>();
  readonly #waiting = new Set<() => void>();
  #closed = false;

  constructor(options: FeedOptions) {
    this.#records = options.records;
    this.#historyEntries = options.historyEntries ?? HISTORY_ENTRIES;
    this.#position = options.position;
    this.#compactRevision = options.position.revision;
  }

  get followers(): number {
    return this.#followers.size;
  }

  get position(): Position {
    return this.#position;
  }

  /** One entry's events. */
  publish(revision: number, events: readonly Event[]): void {
    this.#position = { epoch: this.#position.epoch, revision };
    this.#entries.push({ revision, events });
    if (this.#entries.length > this.#historyEntries) {
      this.#compactRevision = this.#entries.shift()!.revision;
    }
    this.#tell({ kind: "events", position: this.#position, events });
  }

  /** The copy was replaced as a whole. */
  reset(position: Position): void {
    this.#position = position;
    this.#entries = [];
    this.#compactRevision = position.revision;
    this.#tell(this.#snapshot());
  }

  progress(digest: string, leaderAgeMs: number | undefined): void {
    this.#tell({ kind: "progress", position: this.#position, digest, leaderAgeMs });
  }

  /** Ends every follower. */
  close(): void {
    this.#closed = true;
    for (const follower of this.#followers) this.#dismiss(follower);
    this.#wakeWaiting();
  }

  async *follow(from: Position | undefined, signal: AbortSignal): AsyncIterable<Feed> {
    await this.#reach(from, signal);
    if (signal.aborted || this.#closed) return;
    const follower = new Queue<Feed>(UNREAD_MAX);
    const stop = () => this.#dismiss(follower);
    signal.addEventListener("abort", stop, { once: true });
    this.#followers.add(follower);
    try {
      yield* this.#since(from);
      while (await follower.ready() && !signal.aborted) yield* merged(follower.drain());
    } finally {
      this.#dismiss(follower);
      signal.removeEventListener("abort", stop);
    }
  }

  /** It still gets what it has not read. Nobody keeps a follower whose reader does not come back. */
  #dismiss(follower: Queue<Feed>): void {
    this.#followers.delete(follower);
    follower.close();
  }

  /** A copy that lags behind its follower waits instead of going back in time. */
  async #reach(from: Position | undefined, signal: AbortSignal): Promise<void> {
    const behind = () =>
      from !== undefined && equalEpoch(from.epoch, this.#position.epoch) &&
      from.revision > this.#position.revision && !signal.aborted && !this.#closed;
    let wake = () => {};
    const stop = () => wake();
    signal.addEventListener("abort", stop, { once: true });
    try {
      while (behind()) {
        await new Promise<void>((resolve) => this.#waiting.add(wake = resolve));
      }
    } finally {
      this.#waiting.delete(wake);
      signal.removeEventListener("abort", stop);
    }
  }

  *#since(from: Position | undefined): Iterable<Feed> {
    const { epoch } = this.#position;
    const resumable = from !== undefined && equalEpoch(from.epoch, epoch) &&
      from.revision >= this.#compactRevision;
    if (!resumable) {
      yield this.#snapshot();
      return;
    }
    const missed = this.#entries.filter(({ revision }) => revision > from.revision);
    yield* merged(missed.map(({ revision, events }) => ({
      ...{ kind: "events", position: { epoch, revision }, events },
    })));
  }

  #snapshot(): Feed {
    return { kind: "snapshot", position: this.#position, records: this.#records() };
  }

  #tell(feed: Feed): void {
    for (const follower of this.#followers) {
      if (!follower.push(feed)) this.#dismiss(follower);
    }
    this.#wakeWaiting();
  }

  #wakeWaiting(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

/**
 * Neighbouring events travel together: what piled up while a follower was busy is told at once, but
 * for more than fits into a frame. An entry's events stay in one piece.
 */
function* merged(feeds: readonly Feed[]): Iterable<Feed> {
  let held: Event[] = [];
  let position: Position | undefined;
  const rest = function* (): Iterable<Feed> {
    if (position !== undefined) yield { kind: "events", position, events: held };
    [held, position] = [[], undefined];
  };
  for (const feed of feeds) {
    const joins = feed.kind === "events" && held.length + feed.events.length <= EVENTS_MAX;
    if (!joins) yield* rest();
    if (feed.kind !== "events") yield feed;
    else {
      held.push(...feed.events);
      position = feed.position;
    }
  }
  yield* rest();
}
