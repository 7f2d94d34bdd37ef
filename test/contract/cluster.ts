/** What every driver of the Cluster port must do. */
import type { Test } from "tap";
import { isDenimError } from "../../src/base/errors.ts";
import type { Cluster, Feed, Position } from "../../src/lease/cluster.ts";
import type { Command, JoinAnswer, LeaseAnswer } from "../../src/lease/command.ts";
import { REVISIONED_TABLES, type StateRecord } from "../../src/lease/records.ts";
import type { StateReader } from "../../src/lease/state.ts";
import { Digest } from "../../src/store/digest.ts";
import { until } from "../support/fast-clock.ts";
import { attributes, EPOCH, joiner } from "../support/ledger.ts";

/** A cluster of host 0 with the token `open` (`support/ledger.ts`), seen from one node. */
export interface Rig {
  readonly cluster: Cluster;
}

/** One where the node can be cut off from whoever leads. */
export interface BreakableRig extends Rig {
  loseLeader(): void;
  findLeader(): void;
}

/** Waits in the driver's own time. */
const SHORT_MS = 1_500;

const join = (n: number): Command => ({ kind: "node.join", tokenId: "open", node: joiner(n) });

/** Follows until the test is over. */
function follow(t: Test, cluster: Cluster, from?: Position) {
  const stop = new AbortController();
  const feeds: Feed[] = [];
  const following = { feeds, ended: false, stop: () => stop.abort() };
  const read = async () => {
    for await (const feed of cluster.follow(from, stop.signal)) feeds.push(feed);
    following.ended = true;
  };
  void read();
  t.teardown(() => stop.abort());
  return following;
}

/** The records that a follower ends up with, by table and key. */
function believed(feeds: readonly Feed[], from: readonly StateRecord[] = []) {
  const records = new Map(from.map((record) => [`${record.table}/${record.key}`, record]));
  for (const feed of feeds) {
    if (feed.kind === "snapshot") {
      records.clear();
      for (const record of feed.records) records.set(`${record.table}/${record.key}`, record);
    } else if (feed.kind === "events") {
      for (const { before, after } of feed.events) {
        const { table, key } = (after ?? before)!;
        if (after === undefined) records.delete(`${table}/${key}`);
        else records.set(`${table}/${key}`, after);
      }
    }
  }
  return records;
}

export function clusterContract(t: Test, name: string, open: (t: Test) => Promise<Rig>): void {
  t.test(`${name}: a command is answered with what it led to`, async (t) => {
    const { cluster } = await open(t);
    const answer = await cluster.propose(join(1)) as JoinAnswer;
    t.same([answer.nodeId, answer.lease.subnets.length], ["id1", 1]);
    const { state, position } = await cluster.read("linearizable");
    t.equal(state.find("leaseByNode", "id1")[0]?.key, answer.lease.subnets[0]);
    t.ok(position.revision >= answer.lease.revision);
    t.same(position.epoch, EPOCH);
    t.same(await cluster.propose(join(1)), answer, "sent again, it is answered again");
  });

  t.test(`${name}: a refusal keeps its code and its words`, async (t) => {
    const { cluster } = await open(t);
    await cluster.propose(join(1));
    const taken: Command = {
      ...{ kind: "node.join", tokenId: "open" },
      node: joiner(2, { attributes: attributes(1) }),
    };
    await t.rejects(cluster.propose(taken), {
      code: "PUBLIC_IP_TAKEN",
      message: "192.168.0.1 is the public address of host1",
      fix: /--replace host1/,
    });
    await t.rejects(cluster.propose({ kind: "node.remove", node: "nobody" }), {
      code: "NOT_FOUND",
    });
  });

  t.test(`${name}: many at once each get their own answer`, async (t) => {
    const { cluster } = await open(t);
    const hosts = Array.from({ length: 40 }, (_, i) => i + 1);
    const answers = await Promise.all(hosts.map((n) => cluster.propose(join(n))));
    t.same(answers.map((answer) => (answer as JoinAnswer).nodeId), hosts.map((n) => `id${n}`));
    const subnets = answers.map((answer) => (answer as JoinAnswer).lease.subnets.join());
    t.equal(new Set(subnets).size, 40);
  });

  t.test(`${name}: a follower ends up with what the cluster has`, async (t) => {
    const { cluster } = await open(t);
    const follower = follow(t, cluster);
    await until("the snapshot is there", () => follower.feeds.length > 0);
    t.equal(follower.feeds[0]!.kind, "snapshot");
    for (let n = 1; n <= 5; n++) await cluster.propose(join(n));
    await cluster.propose({ kind: "node.leave", node: "id3" });
    const { position, state } = await cluster.read("linearizable");
    await until(
      "it has seen the last of them",
      () => follower.feeds.at(-1)!.position.revision >= position.revision,
    );
    const records = believed(follower.feeds);
    t.equal(records.get("node/id3"), undefined);
    t.equal(Digest.of(records.values()).text, Digest.of(stateRecords(state)).text);
    const revisions = follower.feeds.map(({ position }) => position.revision);
    t.same(revisions, [...revisions].sort((a, b) => a - b), "it never goes back");
    t.ok(follower.feeds.filter(({ kind }) => kind === "snapshot").length === 1);
  });

  t.test(`${name}: a follower resumes where it was, and misses nothing`, async (t) => {
    const { cluster } = await open(t);
    await cluster.propose(join(1));
    const first = follow(t, cluster);
    await until("the snapshot is there", () => first.feeds.length > 0);
    first.stop();
    await until("it has ended", () => first.ended);
    const { position } = first.feeds.at(-1)!;
    for (let n = 2; n <= 4; n++) await cluster.propose(join(n));
    await cluster.read("linearizable");
    const second = follow(t, cluster, position);
    await until(
      "it has caught up",
      () => (second.feeds.at(-1)?.position.revision ?? 0) >= position.revision + 3,
    );
    t.ok(second.feeds.every(({ kind }) => kind !== "snapshot"));
    const before = [...believed(first.feeds).values()];
    const nodes = [...believed(second.feeds, before).values()]
      .filter(({ table }) => table === "node");
    t.equal(nodes.length, 5);
  });

  t.test(`${name}: a follower from another history starts anew`, async (t) => {
    const { cluster } = await open(t);
    const { revision } = cluster.view()!.position;
    const stray = follow(t, cluster, { epoch: { n: 1, random: "other" }, revision });
    await until("something comes", () => stray.feeds.length > 0);
    t.equal(stray.feeds[0]!.kind, "snapshot");
  });

  t.test(`${name}: a renewal is no event`, async (t) => {
    const { cluster } = await open(t);
    const { lease } = await cluster.propose(join(1)) as JoinAnswer;
    const { position } = await cluster.read("linearizable");
    const follower = follow(t, cluster, position);
    const renew: Command = { kind: "lease.renew", node: "id1", subnets: lease.subnets };
    const answer = await cluster.propose(renew) as LeaseAnswer;
    t.equal(answer.revision, lease.revision);
    t.same((await cluster.read("linearizable")).position, position);
    t.notOk(follower.feeds.some(({ kind }) => kind === "events"));
  });

  t.test(`${name}: a listener hears of changes until it is taken away`, async (t) => {
    const { cluster } = await open(t);
    let count = 0;
    const stop = cluster.onChange(() => count++);
    // None of those who may be servers already, whose coming again would change nothing.
    await cluster.propose(join(8));
    await until("the change was heard of", () => count > 0);
    t.ok(cluster.view()!.state.get("node", "id8"), "by then it can be seen");
    stop();
    const before = count;
    await cluster.propose(join(9));
    await cluster.read("linearizable");
    t.equal(count, before);
  });

  t.test(`${name}: a view says who leads, and how old it is`, async (t) => {
    const { cluster } = await open(t);
    await until("a leader has confirmed it", () => cluster.view()?.leaderAgeMs !== undefined);
    const view = cluster.view()!;
    t.ok(view.leaderAgeMs! < 5_000, `${view.leaderAgeMs} ms`);
    t.ok(view.state.get("node", view.leaderNode!));
  });

  t.test(`${name}: who gives up is not kept`, async (t) => {
    const { cluster } = await open(t);
    const signal = AbortSignal.abort();
    const codes = ["CANCELLED", "OUTCOME_UNKNOWN"] as const;
    try {
      await cluster.propose(join(1), { signal });
      t.pass("it was quicker");
    } catch (error) {
      t.ok(isDenimError(error, ...codes), String(error));
    }
  });

  t.test(`${name}: what is closed takes no more calls`, async (t) => {
    const { cluster } = await open(t);
    await cluster[Symbol.asyncDispose]();
    await t.rejects(cluster.propose(join(1)), { code: "CANCELLED" });
    await t.rejects(cluster.read("linearizable"), { code: "CANCELLED" });
    await cluster[Symbol.asyncDispose]();
  });
}

/** What a driver must do that can lose its leader. */
export function leaderlessContract(
  t: Test,
  name: string,
  open: (t: Test) => Promise<BreakableRig>,
): void {
  t.test(`${name}: without a leader nothing is written, and the view stays`, async (t) => {
    const { cluster, loseLeader, findLeader } = await open(t);
    await cluster.propose(join(1));
    const { position } = await cluster.read("linearizable");
    let heard = 0;
    t.teardown(cluster.onChange(() => heard++));
    loseLeader();
    const lost = (error: unknown) => isDenimError(error, "NO_LEADER", "OUTCOME_UNKNOWN", "TIMEOUT");
    const failed = await cluster.propose(join(2), { timeoutMs: SHORT_MS }).catch(lost);
    t.equal(failed, true, "a write fails");
    const unread = await cluster.read("linearizable", { timeoutMs: SHORT_MS }).catch(lost);
    t.equal(unread, true, "a read that must see all writes fails");
    t.same((await cluster.read("stale")).position, position);
    t.ok(cluster.view()!.state.get("node", "id1"));
    t.ok(cluster.view()!.leaderAgeMs! > SHORT_MS / 2, `${cluster.view()!.leaderAgeMs} ms`);
    t.ok(heard > 0, "that the leader is gone was news");
    findLeader();
    await cluster.propose(join(3));
    t.ok((await cluster.read("linearizable")).state.get("node", "id3"));
    await until("a leader stands behind it again", () => cluster.view()!.leaderAgeMs! < 5_000);
  });
}

function* stateRecords(state: StateReader): Iterable<StateRecord> {
  for (const table of REVISIONED_TABLES) yield* state.all(table);
}
