/** Handing leadership over, reads through a leader, and what followers pass on. */
import t from "tap";
import { describe } from "../../src/raft/mod.ts";
import { inRole, Lab, LAB_ELECTION_TICKS, LabServer } from "./lab.ts";

t.test("leadership is handed over at once to who is up to date, lease or not", async (t) => {
  const lab = Lab.of(3, { preVote: true, checkQuorum: true });
  lab.elect(1);
  t.equal(lab.get(1).raft.transferLeadership(2), "started");
  lab.settle();
  t.same(lab.roles(), ["follower", "leader", "follower"]);
  t.notOk(
    lab.sent.some(({ kind, from }) => kind === "pre-vote" && from === 2),
    "without asking first",
  );
});

t.test("who is behind is brought up to date first, and proposals wait", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.isolate(3);
  lab.propose(1, "a");
  t.equal(lab.get(1).raft.transferLeadership(3), "started");
  t.same(lab.get(1).raft.propose(["b"]), { kind: "transferring" });
  lab.heal();
  lab.get(1).tick();
  lab.settle();
  t.equal(lab.get(3).raft.role, "leader");
});

t.test("a transfer that takes an election timeout is given up", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.isolate(3);
  lab.get(1).raft.transferLeadership(3);
  lab.get(1).tick(LAB_ELECTION_TICKS);
  t.equal(lab.get(1).raft.status().transferee, 0);
  t.equal(lab.get(1).raft.propose(["x"]).kind, "accepted");
});

t.test("leadership is not handed to a learner, a stranger, or oneself", async (t) => {
  const server = inRole("leader", { voters: [1, 2, 3], learners: [4] });
  for (const to of [4, 9, 1]) t.equal(server.raft.transferLeadership(to), "ignored");
  t.equal(server.raft.status().transferee, 0);
});

t.test("removing the one who was to take over ends the transfer", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.isolate(3);
  lab.get(1).raft.proposeChange({ kind: "remove", id: 3 });
  lab.get(1).raft.transferLeadership(3);
  lab.settle();
  t.equal(lab.get(1).raft.status().transferee, 0);
});

t.test("only the leader can tell a follower to campaign", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.get(2).raft.step({ kind: "timeout-now", from: 3, to: 2, term: 1 });
  t.equal(lab.get(2).raft.role, "follower");
});

t.test("a follower passes on a wish to lead", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  t.equal(lab.get(2).raft.transferLeadership(3), "forwarded");
  lab.settle();
  t.equal(lab.get(3).raft.role, "leader");
});

t.test("a follower passes proposals on if it is to, and else says that it does not lead", async (t) => {
  const lab = Lab.of(3, { forwardProposals: true });
  t.same(lab.get(2).raft.propose(["x"]), { kind: "no-leader" });
  lab.elect(1);
  t.same(lab.get(2).raft.propose(["x"]), { kind: "forwarded", to: 1 });
  lab.settle();
  t.equal(lab.get(3).applied.at(-1)?.data, "x");
  const strict = Lab.of(3);
  strict.elect(1);
  t.same(strict.get(2).raft.propose(["x"]), { kind: "no-leader" });
});

t.test("a leader confirms a read with one round of heartbeats", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.propose(1, "a");
  t.same(lab.get(1).raft.readIndex("r1"), { kind: "accepted" });
  t.same(lab.get(1).raft.readIndex("r2"), { kind: "accepted" });
  t.ok(lab.get(1).raft.hasReady());
  lab.sent.length = 0;
  lab.settle();
  t.same(lab.get(1).reads, [{ context: "r1", index: 2 }, { context: "r2", index: 2 }]);
  t.equal(lab.sent.filter(({ kind }) => kind === "heartbeat").length, 2, "for both reads");
});

t.test("a deposed leader confirms nothing", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.isolate(1);
  lab.elect(2);
  lab.propose(2, "newer");
  lab.get(1).raft.readIndex("stale");
  lab.settle();
  t.same(lab.get(1).reads, []);
  lab.heal();
  lab.get(1).tick();
  lab.get(2).tick();
  lab.settle();
  t.same(lab.get(1).reads, []);
});

t.test("an answer to an older heartbeat does not confirm a newer read (etcd #20418)", async (t) => {
  const server = inRole("leader", { voters: [1, 2, 3] });
  server.raft.step({ kind: "append-accepted", from: 2, to: 1, term: 1, index: 1 });
  server.work();
  const answer = (readPosition: number) =>
    server.raft.step({ kind: "heartbeat-response", from: 2, to: 1, term: 1, readPosition });
  server.raft.readIndex("again");
  server.work();
  server.raft.readIndex("again");
  server.work();
  answer(1);
  server.work();
  t.equal(server.reads.length, 1);
  answer(1);
  server.work();
  t.equal(server.reads.length, 1);
  answer(2);
  server.work();
  t.equal(server.reads.length, 2);
});

t.test("a learner's answer confirms no read", async (t) => {
  const server = inRole("leader", { voters: [1, 2], learners: [3] });
  server.raft.step({ kind: "append-accepted", from: 2, to: 1, term: 1, index: 1 });
  server.work();
  server.raft.readIndex("r");
  server.work();
  server.raft.step({ kind: "heartbeat-response", from: 3, to: 1, term: 1, readPosition: 1 });
  server.work();
  t.same(server.reads, []);
});

t.test("a new leader holds reads until it has committed in its own term", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.propose(1, "a");
  lab.filter = ({ kind }) => kind !== "append-accepted";
  lab.elect(2);
  t.equal(lab.get(2).raft.role, "leader");
  lab.get(2).raft.readIndex("r");
  lab.get(2).tick();
  lab.settle();
  t.same(lab.get(2).reads, []);
  lab.heal();
  lab.get(2).tick();
  lab.settle();
  t.same(lab.get(2).reads, [{ context: "r", index: 3 }]);
});

t.test("a follower asks its leader, and gets the index", async (t) => {
  const lab = Lab.of(3);
  t.same(lab.get(2).raft.readIndex("r"), { kind: "no-leader" });
  lab.elect(1);
  lab.propose(1, "a");
  lab.get(2).raft.readIndex("r");
  lab.settle();
  t.same(lab.get(2).reads, [{ context: "r", index: 2 }]);
  t.same(lab.get(1).reads, []);
});

t.test("a sole voter confirms its reads alone", async (t) => {
  const server = new LabServer(1, { voters: [1] });
  server.raft.campaign();
  server.work();
  server.raft.readIndex("r");
  server.work();
  t.same(server.reads, [{ context: "r", index: 1 }]);
});

t.test("a lost confirmation is asked for again with the next heartbeat", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.filter = ({ kind }) => kind !== "heartbeat";
  lab.get(1).raft.readIndex("r");
  lab.settle();
  lab.heal();
  lab.get(1).tick();
  lab.settle();
  t.same(lab.get(1).reads, [{ context: "r", index: 1 }]);
});

t.test("a leader knows how long it has not heard somebody, whatever check-quorum looks at", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  const silent = (id: number) =>
    lab.get(1).raft.status().progress.find((one) => one.id === id)!.silentTicks;
  lab.isolate(3);
  for (let n = 0; n < 3 * LAB_ELECTION_TICKS; n++) {
    lab.get(1).tick();
    lab.settle();
    t.ok(silent(2) <= 1, "the one that answers is never silent for long");
  }
  t.ok(silent(3) >= 2 * LAB_ELECTION_TICKS);
});

t.test("a new leader has heard nobody yet whose vote it did not need", async (t) => {
  const lab = Lab.of(3);
  lab.isolate(3);
  lab.elect(1);
  t.equal(lab.get(1).raft.status().progress[2]!.silentTicks, Infinity);
});

t.test("a status can be read", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.isolate(3);
  lab.propose(1, "a");
  t.equal(
    describe(lab.get(1).raft.status()),
    [
      "raft 1: leader of term 1, leader 1, vote 1, log 1..2, stable 2, commit 2, applied 2, " +
      "voters [1 2 3]",
      "  1: replicate match 2 next 3",
      "  2: replicate match 2 next 3",
      "  3: replicate match 1 next 3, 1 under way",
    ].join("\n"),
  );
  t.match(describe(lab.get(2).raft.status()), /^raft 2: follower of term 1, leader 1, vote 1, /);
});
