/** How a leader paces what it sends: windows, probes, snapshots, and the bound on what waits. */
import t from "tap";
import type { Message, ProgressStatus } from "../../src/raft/mod.ts";
import { inRole, Lab, LabServer, type ServerStart } from "./lab.ts";

/** A leader of three, with both followers caught up. */
function leaderWith(start: ServerStart): LabServer {
  const server = inRole("leader", start);
  for (const from of [2, 3]) acknowledge(server, from, 1);
  server.work();
  return server;
}

function acknowledge(server: LabServer, from: number, index: number): void {
  server.raft.step({ kind: "append-accepted", from, to: 1, term: server.raft.term, index });
}

function entriesSent(messages: readonly Message[], to: number): number[] {
  return messages.flatMap((message) =>
    message.kind === "append" && message.to === to ? [message.entries.length] : []
  );
}

function progressOf(server: LabServer, id: number): ProgressStatus {
  return server.raft.status().progress.find((progress) => progress.id === id)!;
}

t.test("appends to one follower stop when the window of messages is full", async (t) => {
  const server = leaderWith({ maxInflightMessages: 2 });
  for (const data of ["a", "b", "c", "d"]) server.raft.propose([data]);
  t.same(entriesSent(server.work(), 2), [1, 1]);
  t.ok(progressOf(server, 2).inflightFull);
  acknowledge(server, 2, 2);
  t.same(entriesSent(server.work(), 2), [2], "one place was freed, and what waited goes together");
});

t.test("appends to one follower stop when the window of bytes is full", async (t) => {
  const server = leaderWith({ maxInflightBytes: 10 });
  for (const data of ["12345678", "12345678", "12345678"]) server.raft.propose([data]);
  t.same(entriesSent(server.work(), 2), [1, 1], "the last one may go over the limit");
  t.equal(progressOf(server, 2).inflightBytes, 16);
  acknowledge(server, 2, 3);
  t.same(entriesSent(server.work(), 2), [1]);
});

t.test("a full window whose messages were lost is opened by a heartbeat", async (t) => {
  const lab = Lab.of(3, { maxInflightMessages: 2 });
  lab.elect(1);
  lab.isolate(3);
  for (const data of ["a", "b", "c"]) lab.propose(1, data);
  lab.heal();
  t.ok(progressOf(lab.get(1), 3).paused);
  lab.get(1).tick();
  lab.settle();
  t.same(lab.get(3).log, lab.get(1).log);
});

t.test("an append is cut into messages of the given size, a big entry goes alone", async (t) => {
  const lab = Lab.of(3, { maxAppendBytes: 200 });
  lab.elect(1);
  lab.isolate(3);
  lab.propose(1, "a", "b", "c", "x".repeat(500), "d");
  lab.heal();
  lab.sent.length = 0;
  lab.get(1).tick();
  lab.settle();
  t.same(lab.get(3).log, lab.get(1).log);
  t.same(entriesSent(lab.sent, 3).filter((count) => count > 0), [3, 1, 1]);
});

t.test("one probe at a time goes to a follower whose log is not known", async (t) => {
  const server = inRole("leader");
  t.equal(progressOf(server, 2).state, "probe");
  server.raft.propose(["a"]);
  server.raft.propose(["b"]);
  t.same(entriesSent(server.work(), 2), []);
  acknowledge(server, 2, 1);
  t.same(entriesSent(server.work(), 2).filter((count) => count > 0), [2]);
  t.equal(progressOf(server, 2).state, "replicate");
});

t.test("a follower that falls behind the log gets a snapshot and then goes on", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.isolate(3);
  lab.propose(1, "a", "b", "c");
  lab.get(1).compact(4);
  lab.heal();
  lab.get(1).tick();
  lab.settle();
  t.ok(lab.sent.some((message) => message.kind === "snapshot" && message.to === 3));
  t.equal(lab.get(3).raft.applied, 4);
  t.same(lab.get(3).log, []);
  lab.propose(1, "d");
  t.same(lab.get(3).log.map((entry) => entry.data), ["d"]);
  t.equal(progressOf(lab.get(1), 3).state, "replicate");
});

t.test("while a snapshot is under way nothing is sent; a failed one is tried again later", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.isolate(3);
  lab.propose(1, "a");
  lab.get(1).compact(2);
  lab.filter = ({ kind, to }) => kind !== "snapshot" || to !== 3;
  lab.get(1).tick();
  lab.settle();
  t.equal(progressOf(lab.get(1), 3).state, "snapshot");
  const sent = lab.sent.length;
  lab.propose(1, "b");
  t.notOk(lab.sent.slice(sent).some(({ to, kind }) => to === 3 && kind !== "heartbeat"));
  lab.get(1).raft.reportSnapshot(3, false);
  t.equal(progressOf(lab.get(1), 3).state, "probe");
  t.ok(progressOf(lab.get(1), 3).paused, "until the next heartbeat's answer");
  lab.heal();
  lab.get(1).tick();
  lab.settle();
  t.equal(lab.get(3).raft.applied, 3);
});

t.test("a snapshot that arrived is followed by the log, once it is acknowledged", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.isolate(3);
  lab.propose(1, "a");
  lab.get(1).compact(2);
  lab.filter = ({ kind, from }) => kind !== "append-accepted" || from !== 3;
  lab.get(1).tick();
  lab.settle();
  lab.get(1).raft.reportSnapshot(3, true);
  t.equal(progressOf(lab.get(1), 3).next, 3, "it probes from after the snapshot");
  lab.heal();
  lab.get(1).tick();
  lab.settle();
  t.equal(progressOf(lab.get(1), 3).state, "replicate");
});

t.test("proposals are refused while too much is uncommitted, but never the first", async (t) => {
  const server = leaderWith({ maxUncommittedBytes: 10 });
  t.equal(server.raft.propose(["x".repeat(50)]).kind, "accepted");
  t.equal(server.raft.propose(["y"]).kind, "overloaded");
  t.equal(server.raft.propose([""]).kind, "accepted", "an empty entry weighs nothing");
  server.work();
  acknowledge(server, 2, 3);
  server.work();
  t.equal(server.raft.status().uncommittedBytes, 0);
  t.equal(server.raft.propose(["y"]).kind, "accepted");
});

t.test("committed entries come in portions", async (t) => {
  const server = new LabServer(1, { voters: [1], maxCommittedBytes: 150 });
  server.raft.campaign();
  server.work();
  server.raft.propose(["a", "b", "c", "d"]);
  const portions: number[] = [];
  while (server.raft.hasReady()) portions.push(server.workOnce().committed.length);
  t.same(portions, [0, 2, 2]);
  t.equal(server.raft.applied, 5);
});

t.test("only what is applied is compacted, and compacting twice is once", async (t) => {
  const server = leaderWith({});
  server.raft.propose(["x"]);
  server.work();
  t.throws(() => server.raft.compact(2), /only what is applied/);
  server.raft.compact(1);
  server.raft.compact(1);
  t.equal(server.raft.firstIndex, 2);
  t.equal(server.raft.termAt(1), 1);
  t.equal(server.raft.termAt(0), undefined);
});

t.test("one Ready at a time", async (t) => {
  const server = new LabServer(1, { voters: [1] });
  server.raft.campaign();
  server.raft.ready();
  t.notOk(server.raft.hasReady());
  t.throws(() => server.raft.ready(), /the last Ready/);
  server.raft.advance();
  t.throws(() => server.raft.advance(), /there is a Ready/);
});
