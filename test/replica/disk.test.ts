import t from "tap";
import { DenimError } from "../../src/base/errors.ts";
import type { Command } from "../../src/lease/command.ts";
import { until } from "../support/fast-clock.ts";
import { joiner } from "../support/ledger.ts";
import { ReplicaCluster } from "../support/replica-cluster.ts";

const join = (n: number): Command => ({ kind: "node.join", tokenId: "open", node: joiner(n) });

const FULL = new DenimError("STORE_FAILED", "Cannot write", { why: "the disk is full" });

t.test("many proposals share a write", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 1 });
  const server = group.server(1);
  const before = server.writes;
  const many = Array.from({ length: 240 }, (_, i) => server.replica.propose(join(100 + i)));
  await Promise.all(many);
  t.ok(server.writes - before < 12, `${server.writes - before} writes for 240 joins`);
});

t.test("what the state owes the disk is written soon, even if nothing else is", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 1 });
  const server = group.server(1);
  await server.replica.propose(join(100));
  await until("it is written", () => !server.copy.dirty && server.written === server.writes);
  group.crash(server);
  await group.boot(server);
  t.equal(server.store.loaded.applied?.records, server.copy.applied().records);
  t.ok(server.store.loaded.records.some(({ key }) => key === "id100"));
});

t.test("a write that fails silences the replica for good", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const leader = await group.leader();
  await group.converged();
  leader.writeError = FULL;
  const proposed = leader.replica.propose(join(100));
  await t.rejects(proposed, { code: "OUTCOME_UNKNOWN" });
  leader.writeError = undefined;
  const { writes } = leader;
  t.equal(leader.failure?.code, "STORE_FAILED");
  t.notOk(leader.replica.leads);
  await t.rejects(leader.replica.propose(join(101)), { code: "STORE_FAILED" });
  await t.rejects(leader.replica.read("linearizable"), { code: "STORE_FAILED" });
  const others = group.up.filter((server) => server !== leader);
  const next = await group.leader(others);
  await next.replica.propose(join(102));
  t.equal(leader.writes, writes, "the disk is left alone");
  t.notOk(leader.hasNode(102), "and nothing more is taken in");
  t.ok(leader.replica.view().state.get("node", "id0"), "what it knew can still be read");
  await leader.replica[Symbol.asyncDispose]();
  t.equal(leader.writes, writes);
});

t.test("a follower whose disk fails acknowledges nothing", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const [leader, follower] = [await group.leader(), await group.follower()];
  follower.writeError = FULL;
  await leader.replica.propose(join(100));
  await until("it has noticed", () => follower.failure !== undefined);
  await leader.replica.propose(join(101));
  const { match } = leader.replica.status().progress
    .find(({ id }) => id === follower.raftId)!;
  t.ok(match < leader.copy.index - 1, "the entries were never acknowledged");
  follower.writeError = undefined;
  await group.restart(follower);
  await group.converged();
  t.ok(follower.hasNode(101), "after a restart it goes on");
});

t.test("a replica that fails while it writes does not acknowledge the write", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const [leader, follower] = [await group.leader(), await group.follower()];
  await group.converged();
  const [{ writes }, { term, lastIndex }] = [follower, leader.replica.status()];
  const disk = Promise.withResolvers<void>();
  follower.hung = disk.promise;
  await leader.replica.propose(join(100));
  await until("the write is under way", () => follower.writes > writes);
  const commit = lastIndex + 1_000;
  const from = { from: leader.raftId, to: follower.raftId, term };
  follower.replica.receive([{ kind: "heartbeat", ...from, commit, readPosition: 0 }]);
  t.equal(follower.failure?.code, "STORE_DAMAGED");
  disk.resolve();
  await follower.replica[Symbol.asyncDispose]();
  await new Promise<void>((resolve) => setTimeout(resolve, 50));
  const { match } = leader.replica.status().progress.find(({ id }) => id === follower.raftId)!;
  t.equal(match, lastIndex);
});

t.test("a leader whose disk hangs is replaced", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const leader = await group.leader();
  const disk = Promise.withResolvers<void>();
  leader.hung = disk.promise;
  const held = leader.replica.propose(join(100), { timeoutMs: 60_000 });
  const others = group.up.filter((server) => server !== leader);
  const next = await group.leader(others);
  await next.replica.propose(join(101));
  t.ok(next.hasNode(101));
  leader.hung = undefined;
  disk.resolve();
  await held;
  await group.converged();
  t.ok(leader.hasNode(101));
  t.ok(next.hasNode(100));
});

t.test("a log that lost what it acknowledged is not served from", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const [leader, victim] = [await group.leader(), await group.follower()];
  await group.converged();
  const stale = { ...victim };
  group.crash(victim);
  await group.boot(victim);
  await leader.replica.propose(join(100));
  await group.converged();
  // Yesterday's disk is put back, while the leader still knows what was acknowledged.
  await group.stop(victim);
  victim.folder = stale.folder;
  await group.boot(victim);
  await until("it was found out", () => victim.failure !== undefined);
  t.equal(victim.failure?.code, "STORE_DAMAGED");
});
