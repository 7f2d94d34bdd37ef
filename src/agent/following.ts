import type { Cancel, Clock } from "../base/clock.ts";
import type { Cluster, Feed } from "../lease/cluster.ts";
import type { Sink } from "../transport/handlers.ts";
import { type FollowItem, type FollowRequest, PART_RECORDS } from "../transport/protocol.ts";

type Events = Extract<Feed, { kind: "events" }>;

/** After a frame of events the next one waits this long for company. */
const GATHER_MS = 50;
/** Events in one frame, which must not grow beyond what a frame may be. */
const EVENTS_MAX = 1_000;

/**
 * A follower's events, in few frames: the first is sent at once, and what happens soon after it
 * goes together. A thousand hosts that join one after the other would otherwise be a thousand
 * frames to each of the thousand that follow.
 */
export class EventFrames implements Disposable {
  readonly #clock: Clock;
  readonly #send: (events: Events) => boolean;
  #held: Events | undefined;
  #sentMs = -Infinity;
  #cancel: Cancel = () => {};

  /** `send` says whether the follower is still there. */
  constructor(clock: Clock, send: (events: Events) => boolean) {
    this.#clock = clock;
    this.#send = send;
  }

  /** False when the follower is gone. */
  push(feed: Events): boolean {
    const held = this.#held;
    const fits = (held?.events.length ?? 0) + feed.events.length <= EVENTS_MAX;
    if (held !== undefined && fits) {
      this.#held = { ...feed, events: [...held.events, ...feed.events] };
      return true;
    }
    if (!this.flush()) return false;
    this.#held = feed;
    const waitMs = this.#sentMs + GATHER_MS - this.#clock.monotonicMs();
    if (waitMs <= 0) return this.flush();
    this.#cancel = this.#clock.after(waitMs, () => void this.flush());
    return true;
  }

  /** Sends what is held: before anything else is said, which must not overtake it. */
  flush(): boolean {
    const held = this.#held;
    if (held === undefined) return true;
    this[Symbol.dispose]();
    this.#sentMs = this.#clock.monotonicMs();
    return this.#send(held);
  }

  [Symbol.dispose](): void {
    this.#cancel();
    this.#held = undefined;
  }
}

/** Sends what the follower lacks, then what happens, for as long as it keeps up. */
export async function serveFollower(
  { cluster, clock }: { readonly cluster: Cluster; readonly clock: Clock },
  { from }: FollowRequest,
  sink: Sink,
): Promise<void> {
  const send = (item: FollowItem) => sink.send(item);
  using frames = new EventFrames(clock, send);
  for await (const feed of cluster.follow(from, sink.signal)) {
    if (feed.kind === "events") {
      if (!frames.push(feed) || !await sink.room()) return;
      continue;
    }
    if (!frames.flush()) return;
    if (feed.kind === "snapshot") {
      if (!await sendSnapshot(feed, sink)) return;
      continue;
    }
    const leaderNode = cluster.view()?.leaderNode;
    if (!send(leaderNode === undefined ? feed : { ...feed, leaderNode })) return;
  }
  frames.flush();
}

async function sendSnapshot(
  { records, position }: Extract<Feed, { kind: "snapshot" }>,
  sink: Sink,
): Promise<boolean> {
  for (let at = 0; at + PART_RECORDS < records.length; at += PART_RECORDS) {
    const part: FollowItem = { kind: "part", records: records.slice(at, at + PART_RECORDS) };
    if (!sink.send(part) || !await sink.room()) return false;
  }
  const rest = records.slice(Math.floor((records.length - 1) / PART_RECORDS) * PART_RECORDS);
  return sink.send({ kind: "snapshot", position, records: rest } satisfies FollowItem);
}
