import t from "tap";
import type { Feed, Position } from "../../src/lease/cluster.ts";
import type { Command } from "../../src/lease/command.ts";
import { Copy } from "../../src/store/copy.ts";
import { settle } from "../support/clock.ts";
import { initCommand, joiner, OPEN_TOKEN, WALL_MS } from "../support/ledger.ts";
import type { Test } from "../support/tap.ts";

/** A copy with a cluster in it, to which commands are applied one by one. */
class Source {
  readonly copy = new Copy(undefined, []);
  #index = 0;

  constructor() {
    this.enter(initCommand('{"Network":"10.0.0.0/8"}'));
    this.enter(OPEN_TOKEN);
  }

  enter(command: Command): void {
    const answer = this.copy.apply(++this.#index, 1, {
      stamp: { elapsedMs: 1, wallMs: WALL_MS },
      command,
    });
    if (!answer.ok) throw new Error(answer.error.message);
  }

  join(n: number): void {
    this.enter({ kind: "node.join", tokenId: "open", node: joiner(n) });
  }
}

/** Reads a feed as fast as it comes, until stopped. */
function reader(t: Test, copy: Copy, from?: Position) {
  const stop = new AbortController();
  const feeds: Feed[] = [];
  const state = { feeds, ended: false, stop: () => stop.abort() };
  const read = async () => {
    for await (const feed of copy.feed.follow(from, stop.signal)) feeds.push(feed);
    state.ended = true;
  };
  void read();
  t.teardown(() => stop.abort());
  return state;
}

const kinds = (feeds: readonly Feed[]) => feeds.map(({ kind }) => kind).join(" ");

/** What a follower that started from nothing believes. */
function replay(feeds: readonly Feed[], copy = new Copy(undefined, [])): Copy {
  for (const feed of feeds) {
    if (feed.kind === "events") copy.take(feed.position.revision, feed.events);
    if (feed.kind !== "snapshot") continue;
    const { revision } = feed.position;
    const zero = "0000000000000000";
    const sums = { records: feed.records.length, digest: zero, clockRecords: 0, clockDigest: zero };
    copy.replace({ index: revision, term: 0, revision, clockMs: 0, ...sums }, feed.records);
  }
  return copy;
}

t.test("a follower from nowhere gets a snapshot, then what happens", async (t) => {
  const source = new Source();
  const { feeds } = reader(t, source.copy);
  await settle();
  t.equal(kinds(feeds), "snapshot");
  source.join(1);
  await settle();
  source.copy.feed.progress(source.copy.digest, 5);
  await settle();
  t.equal(kinds(feeds), "snapshot events progress");
  t.same(feeds.map(({ position }) => position.revision), [2, 3, 3]);
  t.equal(replay(feeds).digest, source.copy.digest);
});

t.test("the events of one entry come together, and say what was before", async (t) => {
  const source = new Source();
  const { feeds } = reader(t, source.copy);
  await settle();
  source.join(1);
  await settle();
  const tables = (feed: Feed | undefined) =>
    feed?.kind === "events" ? feed.events.map(({ after, before }) => (after ?? before)!.table) : [];
  t.same(tables(feeds[1]), ["node", "lease"]);
  source.enter({ kind: "node.leave", node: "id1" });
  await settle();
  const last = feeds.at(-1);
  const lease = last?.kind === "events"
    ? last.events.find(({ before }) => before?.table === "lease")
    : undefined;
  t.equal(lease?.before?.key, "10.0.2.0/24");
  t.equal(lease?.after, undefined);
});

t.test("what tells followers nothing is not told", async (t) => {
  const source = new Source();
  const { feeds } = reader(t, source.copy);
  await settle();
  source.enter({ kind: "lease.renew", node: "id0", subnets: ["10.0.1.0/24"] });
  source.enter({ kind: "tick" });
  await settle();
  t.equal(kinds(feeds), "snapshot");
});

t.test("a follower resumes where it was, without a snapshot", async (t) => {
  const source = new Source();
  const { position } = source.copy.feed;
  for (let n = 1; n <= 3; n++) source.join(n);
  const { feeds } = reader(t, source.copy, position);
  await settle();
  t.equal(kinds(feeds), "events", "all that it missed in one");
  t.equal(feeds[0]!.position.revision, 5);
  const { feeds: nothing } = reader(t, source.copy, source.copy.feed.position);
  await settle();
  t.same(nothing, []);
});

t.test("what is too long ago is told as a snapshot", async (t) => {
  const source = new Source();
  const { position } = source.copy.feed;
  const node = { kind: "node.silent", node: "id0" } as const;
  for (let i = 0; i < 10_005; i++) source.enter({ ...node, silent: i % 2 === 0 });
  const { feeds } = reader(t, source.copy, position);
  const { feeds: near } = reader(t, source.copy, { ...position, revision: position.revision + 6 });
  await settle();
  t.equal(kinds(feeds), "snapshot");
  t.same(near.map((feed) => feed.kind === "events" && feed.events.length), [
    ...Array.from({ length: 9 }, () => 1_000),
    999,
  ], "what is not is told in pieces that fit into a frame");
  t.equal(near.at(-1)!.position.revision, source.copy.feed.position.revision);
});

t.test("a follower of another history gets a snapshot", async (t) => {
  const source = new Source();
  const { revision } = source.copy.feed.position;
  const { feeds } = reader(t, source.copy, { epoch: { n: 1, random: "other" }, revision });
  await settle();
  t.equal(kinds(feeds), "snapshot");
});

t.test("a copy that lags behind its follower waits", async (t) => {
  const source = new Source();
  const ahead = { ...source.copy.feed.position, revision: 4 };
  const follower = reader(t, source.copy, ahead);
  source.join(1);
  await settle();
  t.same(follower.feeds, [], "revision 3 would be a step back");
  source.join(2);
  source.join(3);
  await settle();
  t.equal(kinds(follower.feeds), "events");
  t.equal(follower.feeds[0]!.position.revision, 5);
});

t.test("one that waits can be sent away, and leaves nothing behind", async (t) => {
  const source = new Source();
  const ahead = { ...source.copy.feed.position, revision: 1_000 };
  const [patient, closed] = [reader(t, source.copy, ahead), reader(t, source.copy, ahead)];
  for (let n = 1; n <= 20; n++) {
    source.join(n);
    await settle();
  }
  patient.stop();
  await settle();
  t.same([patient.ended, closed.ended], [true, false]);
  source.copy.feed.close();
  await settle();
  t.equal(closed.ended, true);
  const late = reader(t, source.copy);
  await settle();
  t.equal(late.ended, true, "nobody follows what is closed");
});

t.test("a slow follower is sent away, and resumes without a loss", async (t) => {
  const source = new Source();
  const stop = new AbortController();
  const following = source.copy.feed.follow(undefined, stop.signal)[Symbol.asyncIterator]();
  const feeds: Feed[] = [(await following.next()).value];
  const node = { kind: "node.silent", node: "id0" } as const;
  for (let i = 0; i < 5_001; i++) source.enter({ ...node, silent: i % 2 === 0 });
  t.equal(source.copy.feed.followers, 0, "it is not kept, even if it never comes back");
  for (;;) {
    const { done, value } = await following.next();
    if (done) break;
    feeds.push(value);
  }
  const { position } = feeds.at(-1)!;
  t.ok(position.revision < source.copy.feed.position.revision);
  const rest = reader(t, source.copy, position);
  await settle();
  t.equal(kinds(rest.feeds), "events");
  t.equal(replay(rest.feeds, replay(feeds)).digest, source.copy.digest);
});

t.test("followers that go leave nothing behind", async (t) => {
  const source = new Source();
  const followers = Array.from({ length: 10 }, () => reader(t, source.copy));
  await settle();
  t.equal(source.copy.feed.followers, 10);
  followers.forEach(({ stop }) => stop());
  await settle();
  t.equal(source.copy.feed.followers, 0);
  t.ok(followers.every(({ ended }) => ended));
});

t.test("a new history starts with a snapshot for everybody", async (t) => {
  const copy = new Copy(undefined, []);
  const { feeds } = reader(t, copy);
  await settle();
  const command = initCommand();
  copy.apply(1, 1, { stamp: { elapsedMs: 0, wallMs: WALL_MS }, command });
  await settle();
  t.equal(kinds(feeds), "snapshot snapshot");
  t.same(feeds[1]!.position, { epoch: command.epoch, revision: 1 });
});
