import type { Cancel, Clock } from "../../base/clock.ts";
import type { Cluster, Event, Feed, Position } from "../../lease/cluster.ts";
import type { Sink } from "../../transport/handlers.ts";
import { type FollowItem, type FollowRequest, PART_RECORDS } from "../../transport/protocol.ts";

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
  readonly #held: Event[] = [];
  /** What the follower has with the events that are held. */
  #position: Position | undefined;
  #sentMs = -Infinity;
  #cancel: Cancel = () => {};

  /** `send` says whether the follower is still there. */
  constructor(clock: Clock, send: (events: Events) => boolean) {
    this.#clock = clock;
    this.#send = send;
  }

  /** False when the follower is gone. */
  push({ events, position }: Events): boolean {
    const joins = this.#position !== undefined &&
      this.#held.length + events.length <= EVENTS_MAX;
    if (!joins && !this.flush()) return false;
    this.#held.push(...events);
    this.#position = position;
    if (joins) return true;
    const waitMs = this.#sentMs + GATHER_MS - this.#clock.monotonicMs();
    if (waitMs <= 0) return this.flush();
    this.#cancel = this.#clock.after(waitMs, () => void this.flush());
    return true;
  }

  /** Sends what is held: before anything else is said, which must not overtake it. */
  flush(): boolean {
    const position = this.#position;
    if (position === undefined) return true;
    const events = this.#held.splice(0);
    this[Symbol.dispose]();
    this.#sentMs = this.#clock.monotonicMs();
    return this.#send({ kind: "events", position, events });
  }

  [Symbol.dispose](): void {
    this.#cancel();
    this.#held.length = 0;
    this.#position = undefined;
  }
}

export interface FollowedParts {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly leadership: () => Leadership;
}

/** Who leads, as a server knows it, and which voters it can reach: ids of nodes. */
export interface Leadership {
  readonly leaderNode?: string;
  readonly reachable: readonly string[];
}

/** Sends what the follower lacks, then what happens, for as long as it keeps up. */
export async function serveFollower(
  { cluster, clock, leadership }: FollowedParts,
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
    const { leaderNode, reachable } = leadership();
    if (!send({ ...feed, ...(leaderNode === undefined ? { reachable } : { leaderNode }) })) return;
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
