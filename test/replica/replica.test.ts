import t from "tap";
import { isDenimError } from "../../src/base/errors.ts";
import type { Command, JoinAnswer } from "../../src/lease/command.ts";
import { until } from "../support/fast-clock.ts";
import { joiner } from "../support/ledger.ts";
import { ReplicaCluster, type Server } from "../support/replica-cluster.ts";

/** Agents, far from the numbers of servers. */
const join = (n: number): Command => ({ kind: "node.join", tokenId: "open", node: joiner(n) });

const hasAll = (server: Server, hosts: readonly number[]) => hosts.every((n) => server.hasNode(n));

t.test("a write through any server is answered, and all get it", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 5 });
  const answers = await Promise.all(
    group.all.map(({ replica }, i) => replica.propose(join(100 + i))),
  );
  t.equal(new Set(answers.map((answer) => (answer as JoinAnswer).lease.subnets[0])).size, 5);
  await group.converged();
  t.ok(group.all.every((server) => hasAll(server, [100, 101, 102, 103, 104])));
  t.equal(group.all.filter(({ replica }) => replica.leads).length, 1);
});

t.test("what was acknowledged survives the loss of power everywhere", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const leader = await group.leader();
  const acknowledged: number[] = [];
  const writing = Array.from(
    { length: 60 },
    (_, i) =>
      leader.replica.propose(join(100 + i)).then(() => acknowledged.push(100 + i), () => {}),
  );
  await until("some are acknowledged", () => acknowledged.length > 0);
  group.all.forEach((server) => group.crash(server));
  const safe = [...acknowledged];
  await Promise.all(writing);
  for (const server of group.all) await group.boot(server);
  await group.leader();
  await group.server(2).replica.propose(join(500));
  await group.converged();
  t.ok(safe.length > 0);
  t.ok(hasAll(group.server(1), safe));
});

t.test("one server that lost its power catches up", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const victim = await group.follower();
  group.crash(victim);
  const leader = await group.leader();
  for (let n = 100; n < 110; n++) await leader.replica.propose(join(n));
  await group.boot(victim);
  await group.converged();
  t.ok(victim.hasNode(109));
  t.equal(victim.failure, undefined);
});

t.test("a leader that is cut off writes nothing, and another one does", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const old = await group.leader();
  await group.converged();
  group.isolate(old);
  const lost = old.replica.propose(join(100), { timeoutMs: 20_000 });
  const short = old.replica.propose(join(101), { timeoutMs: 2_000 })
    .then(() => "written", (error) => isDenimError(error, "NO_LEADER", "OUTCOME_UNKNOWN"));
  const others = group.up.filter((server) => server !== old);
  const leader = await group.leader(others);
  await leader.replica.propose(join(200));
  t.equal(await short, true, "nothing is acknowledged on the wrong side");
  t.notOk(old.replica.leads);
  t.notOk(leader.hasNode(100));
  group.heal();
  const answer = await lost as JoinAnswer;
  t.equal(answer.nodeId, "id100", "its entry is gone, so it was proposed again");
  await group.converged();
  t.ok(hasAll(old, [100, 200]));
  t.notOk(old.hasNode(101), "what was not answered was not kept");
});

t.test("a learner is sent a snapshot, follows, and becomes a voter", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 1 });
  const first = group.server(1);
  for (let n = 100; n < 120; n++) await first.replica.propose(join(n));
  const learner = await group.addLearner(2);
  await group.caughtUp(learner, first);
  t.ok(learner.log.lines.some((line) => line.includes("installed a snapshot")));
  t.same(learner.replica.status().configuration, { voters: [1], learners: [2] });
  t.ok(learner.hasNode(119));
  t.same(first.copy.state.get("group", "it")?.body, { voters: [1], learners: [2] });
  await first.replica.changeGroup({ kind: "add-voter", id: 2 });
  await group.converged();
  t.same(learner.copy.state.get("group", "it")?.body, { voters: [1, 2], learners: [] });
  await group.restart(learner);
  await group.leader();
  t.same(learner.replica.status().configuration.voters, [1, 2]);
});

t.test("an agent becomes a server, and knows what it knew until it is told more", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 1 });
  const first = group.server(1);
  for (let n = 100; n < 110; n++) await first.replica.propose(join(n));
  group.loss = 1;
  const server = await group.addLearner(2, { agentOf: first });
  t.ok(server.replica.view().state.get("node", "id109"));
  await group.restart(server);
  t.ok(server.replica.view().state.get("node", "id109"));
  t.same(server.replica.status().configuration.voters, [], "but it is nobody's voter");
  group.loss = 0;
  await group.caughtUp(server, first);
  await group.converged();
  await first.replica.changeGroup({ kind: "add-voter", id: 2 });
  await group.restart(server);
  await group.leader();
  await group.converged();
  t.equal(server.failure, undefined);
});

t.test("a snapshot that is not what it says is refused", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const [leader, follower] = [await group.leader(), await group.follower()];
  const { index, term } = { index: leader.copy.index + 100, term: leader.copy.term };
  const applied = { ...leader.copy.applied(), index };
  const records = leader.copy.records().slice(1);
  const { configuration } = leader.replica.status();
  const offer = {
    ...{ kind: "snapshot", from: leader.raftId, to: follower.raftId, term } as const,
    snapshot: { index, term, configuration },
  };
  const receive = () => follower.replica.receiveSnapshot(offer, { applied, chain: 1, records });
  t.throws(receive, { code: "STORE_DAMAGED" });
  await leader.replica.propose(join(100));
  await group.converged();
  t.equal(follower.failure, undefined, "and the server goes on as before");
});

t.test("a leader that is removed steps down, and the others go on", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const old = await group.leader();
  await old.replica.changeGroup({ kind: "remove", id: old.raftId });
  await until("it leads no more", () => !old.replica.leads);
  const others = group.up.filter((server) => server !== old);
  const leader = await group.leader(others);
  await leader.replica.propose(join(100));
  t.same(leader.replica.status().configuration.voters, others.map(({ raftId }) => raftId));
});

t.test("a group is changed by its leader only, one step at a time", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const [leader, follower] = [await group.leader(), await group.follower()];
  const change = { kind: "remove", id: follower.raftId } as const;
  await t.rejects(follower.replica.changeGroup(change), { code: "NOT_LEADER" });
  const first = leader.replica.changeGroup(change);
  await t.rejects(leader.replica.changeGroup({ kind: "add-learner", id: 9 }), {
    code: "OVERLOADED",
  });
  await first;
  t.equal(leader.replica.status().configuration.voters.length, 2);
});

t.test("who is behind the log's beginning is sent a snapshot", async (t) => {
  const logLimits = { entries: 40, bytes: 1e9 };
  const group = await ReplicaCluster.start(t, { servers: 3, logLimits });
  const victim = await group.follower();
  await group.stop(victim);
  const leader = await group.leader();
  for (let n = 100; n < 220; n++) await leader.replica.propose(join(n));
  t.ok(leader.store.trim.index > victim.copy.index, "the log begins later");
  t.ok(leader.store.trim.index < leader.copy.index - 10, "but not at its end");
  t.equal(leader.replica.status().firstIndex, leader.store.trim.index + 1, "in memory too");
  await group.boot(victim);
  await group.converged();
  t.ok(victim.log.lines.some((line) => line.includes("installed a snapshot")));
  t.ok(victim.hasNode(219));
  for (const server of group.all) await group.restart(server);
  await group.leader();
  await group.converged();
});

t.test("a log of big entries is kept short too", async (t) => {
  const logLimits = { entries: 1e9, bytes: 40_000 };
  const group = await ReplicaCluster.start(t, { servers: 1, logLimits });
  const { replica, store } = group.server(1);
  for (let n = 100; n < 200; n++) await replica.propose(join(n));
  t.ok(store.logSizeBytes < 45_000, `${store.logSizeBytes} bytes`);
  t.ok(store.trim.index > 10);
  const big = { ...joiner(1), version: "x".repeat(300_000) };
  await t.rejects(replica.propose({ kind: "node.join", tokenId: "open", node: big }), {
    code: "REQUEST_INVALID",
  });
});

t.test("leadership can be handed over", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const [leader, follower] = [await group.leader(), await group.follower()];
  leader.replica.transferLeadership(follower.raftId);
  await until("the other one leads", () => follower.replica.leads);
  await leader.replica.propose(join(100));
  await group.converged();
  t.ok(follower.hasNode(100));
});

t.test("a network that loses messages costs time only", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3, seed: 7 });
  group.loss = 0.15;
  const writes = Array.from(
    { length: 20 },
    (_, i) =>
      group.server(1 + i % 3).replica.propose(join(100 + i), { timeoutMs: 60_000 })
        .catch((error) => isDenimError(error, "OUTCOME_UNKNOWN")),
  );
  t.ok((await Promise.all(writes)).every((outcome) => outcome !== false));
  group.loss = 0;
  await group.server(1).replica.propose(join(999));
  await group.converged();
  t.ok(group.all.every((server) => server.hasNode(999)));
});
