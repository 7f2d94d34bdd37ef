/** A node whose driver changes while it runs. */
import t from "tap";
import { ClusterSwitch } from "../../../src/agent/control/switch.ts";
import type { Cluster, Feed } from "../../../src/lease/cluster.ts";
import { FakeClock, settle } from "../../support/clock.ts";
import { joiner } from "../../support/ledger.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";

const clock = new FakeClock();

function join(cluster: MemoryCluster, n: number): void {
  cluster.apply({ kind: "node.join", tokenId: "open", node: joiner(n) });
}

/** The same cluster by way of another connection to it. */
function other(cluster: MemoryCluster): Cluster {
  return {
    propose: (command, options) => cluster.propose(command, options),
    read: (level, options) => cluster.read(level, options),
    view: () => cluster.view(),
    follow: (from, signal) => cluster.follow(from, signal),
    onChange: (callback) => cluster.onChange(callback),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** Reads until it is told to stop. */
function read(feeds: AsyncIterable<Feed>) {
  const names: string[] = [];
  const reading = { names, ended: false };
  void (async () => {
    for await (const feed of feeds) {
      if (feed.kind === "progress") continue;
      const records = feed.kind === "snapshot"
        ? feed.records
        : feed.events.map(({ before, after }) => (after ?? before)!);
      if (feed.kind === "snapshot") names.push("snapshot");
      names.push(...records.filter(({ table }) => table === "node").map(({ key }) => key));
    }
    reading.ended = true;
  })();
  return reading;
}

t.test("following goes on over a change of driver, without loss or repetition", async (t) => {
  const cluster = new MemoryCluster(clock);
  const both = new ClusterSwitch();
  both.use(cluster);
  const stop = new AbortController();
  const reading = read(both.follow(undefined, stop.signal));
  await settle();
  join(cluster, 1);
  // Told to the first driver's follower, and not read yet.
  both.use(other(cluster));
  join(cluster, 2);
  await settle();
  await settle();
  both.use(cluster);
  await settle();
  join(cluster, 3);
  await settle();
  t.same(reading.names, ["snapshot", "id0", "id1", "id2", "id3"]);
  t.equal(reading.ended, false);
  stop.abort();
  await settle();
  t.equal(reading.ended, true);
});

t.test("a follower that its driver sends away is sent away", async (t) => {
  const cluster = new MemoryCluster(clock);
  const both = new ClusterSwitch();
  both.use(cluster);
  const reading = read(both.follow(undefined, new AbortController().signal));
  await settle();
  cluster.copy.feed.close();
  await settle();
  t.equal(reading.ended, true);
});

t.test("calls wait while there is no driver, and reach the next one", async (t) => {
  const cluster = new MemoryCluster(clock);
  const both = new ClusterSwitch();
  both.use(new MemoryCluster(clock));
  both.pause();
  const asked = both.propose({ kind: "token.revoke", tokenId: "open" });
  let count = 0;
  void asked.then(() => count++);
  await settle();
  t.same([count, cluster.commands.length], [0, 2]);
  t.ok(both.view(), "what is known stays known");
  both.use(cluster);
  await asked;
  t.equal(cluster.commands.at(-1)?.kind, "token.revoke");
  const { state } = await both.read("linearizable");
  t.ok(state.get("token", "open")?.body.revokedWallMs !== undefined);
});

t.test("a change of driver is news, and each listener hears of the present driver only", async (t) => {
  const [first, second] = [new MemoryCluster(clock), new MemoryCluster(clock)];
  await settle();
  const both = new ClusterSwitch();
  let count = 0;
  const stop = both.onChange(() => count++);
  both.use(first);
  t.equal(count, 1);
  both.use(second);
  t.equal(count, 2);
  join(first, 1);
  await settle();
  t.equal(count, 2);
  join(second, 1);
  await settle();
  t.equal(count, 3);
  stop();
  join(second, 2);
  await settle();
  t.equal(count, 3);
});

t.test("before there is a driver, and after the end, it says so", async (t) => {
  const both = new ClusterSwitch();
  t.equal(both.view(), undefined);
  await t.rejects(both.propose({ kind: "tick" }), { code: "NO_LEADER", fix: /denim init/ });
  both.use(new MemoryCluster(clock));
  both.pause();
  const waiting = both.read("linearizable");
  await Promise.all([
    t.rejects(waiting, { code: "CANCELLED" }),
    both[Symbol.asyncDispose](),
  ]);
  await t.rejects(both.propose({ kind: "tick" }), { code: "CANCELLED" });
});
