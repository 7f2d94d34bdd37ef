/** What a server tells those who follow it, and in how many frames. */
import t from "tap";
import { EventFrames, serveFollower } from "../../../src/agent/control/following.ts";
import type { Feed } from "../../../src/lease/cluster.ts";
import { Copy } from "../../../src/store/copy.ts";
import { Handlers } from "../../../src/transport/handlers.ts";
import { type FollowItem, KIND } from "../../../src/transport/protocol.ts";
import { channelPair } from "../../support/channels.ts";
import { FakeClock, settle } from "../../support/clock.ts";
import { until } from "../../support/fast-clock.ts";
import { EPOCH, joiner } from "../../support/ledger.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { leadershipOf } from "../../support/remote-rig.ts";
import type { Test } from "../../support/tap.ts";

type Events = Extract<Feed, { kind: "events" }>;

const event = { before: undefined, after: undefined };
const events = (revision: number, count = 1): Events => ({
  ...{ kind: "events", position: { epoch: EPOCH, revision } },
  events: Array.from({ length: count }, () => event),
});

function framed() {
  const clock = new FakeClock();
  const sent: string[] = [];
  const state = { isThere: true };
  const frames = new EventFrames(clock, ({ position, events }) => {
    sent.push(`${position.revision}: ${events.length}`);
    return state.isThere;
  });
  return { clock, sent, frames, state };
}

t.test("the first event is sent at once, those that follow soon go together", async (t) => {
  const { clock, sent, frames } = framed();
  frames.push(events(1));
  t.same(sent, ["1: 1"]);
  for (let n = 2; n <= 5; n++) {
    await clock.advance(10);
    frames.push(events(n, 2));
  }
  t.same(sent, ["1: 1"]);
  await clock.advance(10);
  t.same(sent, ["1: 1", "5: 8"], "50 ms after the last frame");
  await clock.advance(200);
  frames.push(events(6));
  t.equal(sent.at(-1), "6: 1", "after a pause there is nothing to wait for");
});

t.test("nothing else overtakes what is held", async (t) => {
  const { sent, frames, clock } = framed();
  frames.push(events(1));
  frames.push(events(2));
  t.ok(frames.flush());
  t.same(sent, ["1: 1", "2: 1"]);
  await clock.advance(100);
  t.equal(sent.length, 2, "and it is sent once");
});

t.test("a frame does not grow beyond what it may be", async (t) => {
  const { sent, frames, clock } = framed();
  frames.push(events(1));
  for (let n = 2; n <= 4; n++) frames.push(events(n, 400));
  t.same(sent, ["1: 1", "3: 800"]);
  await clock.advance(50);
  t.same(sent, ["1: 1", "3: 800", "4: 400"]);
  await clock.advance(50);
  frames.push(events(5, 2_000));
  t.equal(sent.at(-1), "5: 2000", "but one entry's events stay together");
});

t.test("a follower that has gone is noticed, and what was for it is dropped", async (t) => {
  const { sent, frames, clock, state } = framed();
  frames.push(events(1));
  state.isThere = false;
  frames.push(events(2));
  t.notOk(frames.flush());
  frames.push(events(3));
  frames[Symbol.dispose]();
  await clock.advance(100);
  t.same(sent, ["1: 1", "2: 1"]);
});

/** One follower over a real channel. */
async function follower(t: Test, memory: MemoryCluster, clock: FakeClock) {
  const [near, far] = await channelPair(t);
  near.start(
    new Handlers().stream(
      KIND.follow,
      (body, sink) => {
        const parts = { cluster: memory, clock, leadership: () => leadershipOf(memory) };
        return serveFollower(parts, body as object, sink);
      },
    ),
  );
  const items: FollowItem[] = [];
  const read = async () => {
    for await (const item of far.start(new Handlers()).open(KIND.follow, {})) {
      items.push(item as FollowItem);
    }
  };
  void read().catch(() => {});
  await until("it has the snapshot", () => items.some(({ kind }) => kind === "snapshot"));
  return { items, frames: () => items.filter(({ kind }) => kind === "events") as Events[] };
}

t.test("a burst of a thousand joins is a few frames, the first of them at once", async (t) => {
  const clock = new FakeClock();
  const memory = new MemoryCluster(clock);
  memory.apply({ kind: "network.set", config: '{"Network":"10.0.0.0/8"}' });
  const { items, frames } = await follower(t, memory, clock);
  const join = (n: number) => memory.apply({ kind: "node.join", tokenId: "open", node: joiner(n) });
  join(1);
  await until("the first is there before any time has passed", () => frames().length === 1);
  for (let n = 2; n <= 1_001; n++) {
    join(n);
    if (n % 5 !== 0) continue;
    await settle();
    await clock.advance(1);
  }
  await clock.advance(50);
  const { revision } = memory.copy.feed.position;
  await until("all of it is there", () => frames().at(-1)?.position.revision === revision);
  t.ok(frames().length <= 7, `${frames().length} frames for 200 ms of joins`);
  const copy = new Copy(undefined, []);
  const first = items[0] as Extract<FollowItem, { kind: "snapshot" }>;
  copy.replace(
    { ...copy.applied(), index: 1, revision: first.position.revision },
    first.records,
  );
  for (const { position, events } of frames()) copy.take(position.revision, events);
  t.equal(copy.digest, memory.copy.digest, "and nothing is missing");
});

t.test("progress comes after what it speaks of", async (t) => {
  const clock = new FakeClock();
  const memory = new MemoryCluster(clock);
  const { items } = await follower(t, memory, clock);
  for (const n of [1, 2]) {
    memory.apply({ kind: "node.join", tokenId: "open", node: joiner(n) });
    await settle();
  }
  memory.progress();
  await until("it is there", () => items.at(-1)?.kind === "progress");
  t.same(items.map(({ kind }) => kind), ["snapshot", "events", "events", "progress"]);
  t.equal((items.at(-1) as Events).position.revision, memory.copy.feed.position.revision);
});
