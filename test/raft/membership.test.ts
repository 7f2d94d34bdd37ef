/** Single-server changes in force when applied, and the guards that make them safe. */
import t from "tap";
import { FOUNDER, inRole, JOINER, Lab, LabServer } from "./lab.ts";

t.test("a new voter gets the log, and from then on counts", async (t) => {
  const lab = Lab.of(1, FOUNDER);
  lab.elect(1);
  lab.propose(1, "a");
  lab.add(new LabServer(2, JOINER));
  lab.change(1, { kind: "add-voter", id: 2 });
  lab.settle();
  t.same(lab.configuration(1), { voters: [1, 2], learners: [] });
  t.same(lab.configuration(2), { voters: [1, 2], learners: [] });
  lab.isolate(2);
  t.same(lab.get(2).applied.map((entry) => entry.data), [], "the snapshot had it all");
  const { commit } = lab.get(1).raft;
  lab.propose(1, "b");
  t.equal(lab.get(1).raft.commit, commit, "one of two is no majority");
  lab.heal();
  lab.get(1).tick();
  lab.settle();
  t.equal(lab.get(1).raft.commit, commit + 1);
});

t.test("a learner gets the log but does not count, nor campaign", async (t) => {
  const lab = Lab.of(1, FOUNDER);
  lab.elect(1);
  lab.add(new LabServer(2, JOINER));
  lab.change(1, { kind: "add-learner", id: 2 });
  lab.propose(1, "seen");
  t.equal(lab.get(2).applied.at(-1)?.data, "seen");
  lab.isolate(2);
  lab.propose(1, "a");
  t.equal(lab.get(1).applied.at(-1)?.data, "a");
  t.equal(lab.get(2).raft.campaign(), "not-promotable");
  lab.get(2).tick(100);
  t.equal(lab.get(2).raft.role, "follower");
});

t.test("a learner that is asked for its vote gives it (etcd #10998)", async (t) => {
  const learner = new LabServer(3, { voters: [1, 2], learners: [3] });
  learner.raft.step({
    kind: "vote",
    from: 2,
    to: 3,
    term: 1,
    lastIndex: 0,
    lastTerm: 0,
    transfer: false,
  });
  t.same(learner.work(), [
    { kind: "vote-response", from: 3, to: 2, term: 1, granted: true },
  ]);
});

t.test("a promoted learner keeps what its leader knows of it", async (t) => {
  const lab = new Lab();
  for (const id of [1, 2]) lab.add(new LabServer(id, { voters: [1], learners: [2] }));
  lab.elect(1);
  lab.propose(1, "a");
  const before = lab.get(1).raft.status().progress[1]!;
  t.ok(before.learner);
  lab.change(1, { kind: "add-voter", id: 2 });
  const after = lab.get(1).raft.status().progress[1]!;
  t.notOk(after.learner);
  t.equal(after.state, "replicate");
  t.ok(after.match > before.match);
});

t.test("one change at a time: the next waits until the last is applied", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.isolate(1);
  const { raft } = lab.get(1);
  t.equal(raft.proposeChange({ kind: "add-learner", id: 4 }).kind, "accepted");
  t.same(raft.proposeChange({ kind: "add-learner", id: 5 }), { kind: "change-pending", index: 2 });
  lab.settle();
  lab.heal();
  raft.tick();
  lab.settle();
  t.same(raft.configuration.learners, [4]);
  t.equal(raft.proposeChange({ kind: "add-learner", id: 5 }).kind, "accepted");
});

t.test("a new leader takes any change that may be in its log for pending", async (t) => {
  const server = inRole("leader", { terms: [1, 1], term: 1, commit: 0 });
  t.same(
    server.raft.proposeChange({ kind: "remove", id: 3 }),
    { kind: "change-pending", index: 2 },
  );
});

t.test("nobody campaigns with a change committed but not applied (raft PR 469)", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  const { raft } = lab.get(2);
  lab.get(1).raft.proposeChange({ kind: "add-voter", id: 4 });
  lab.get(1).work().filter(({ to }) => to === 2).forEach((message) => raft.step(message));
  lab.get(2).work();
  raft.step({
    kind: "heartbeat",
    from: 1,
    to: 2,
    term: 1,
    commit: raft.lastIndex,
    readPosition: 0,
  });
  t.equal(raft.commit, 2);
  t.equal(raft.applied, 1);
  t.equal(raft.campaign(), "change-unapplied");
  raft.tick();
  lab.get(2).work();
  t.equal(raft.campaign(), "started");
});

t.test("a removed leader steps down when it applies its removal, and does not campaign", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.change(1, { kind: "remove", id: 1 });
  t.equal(lab.get(1).raft.role, "follower");
  t.same(lab.get(1).raft.propose(["x"]), { kind: "no-leader" });
  t.equal(lab.get(1).raft.campaign(), "not-promotable");
  lab.elect(2);
  t.equal(lab.get(2).raft.role, "leader");
  t.same(lab.configuration(2), { voters: [2, 3], learners: [] });
});

t.test("a demoted leader steps down too", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.change(1, { kind: "add-learner", id: 1 });
  t.equal(lab.get(1).raft.role, "follower");
  t.same(lab.configuration(1), { voters: [2, 3], learners: [1] });
});

t.test("without that option a removed leader leads on, takes nothing, and does not count", async (t) => {
  const lab = Lab.of(3, { stepDownOnRemoval: false });
  lab.elect(1);
  const { raft } = lab.get(1);
  raft.proposeChange({ kind: "remove", id: 1 });
  raft.propose(["in the same breath"]);
  lab.settle();
  t.equal(raft.role, "leader");
  t.equal(raft.commit, 3);
  t.same(raft.propose(["x"]), { kind: "no-leader" });
  raft.tick();
  t.same(lab.get(1).work().map(({ kind, to }) => `${kind} ${to}`), ["heartbeat 2", "heartbeat 3"]);
});

t.test("removing a server may commit what it was holding up", async (t) => {
  const lab = Lab.of(2);
  lab.elect(1);
  const { raft } = lab.get(1);
  raft.proposeChange({ kind: "remove", id: 2 });
  lab.settle();
  lab.isolate(2);
  lab.propose(1, "alone");
  t.equal(lab.get(1).applied.at(-1)?.data, "alone");
});

t.test("a refused change is applied as nothing, by everyone alike", async (t) => {
  const lab = Lab.of(1);
  lab.elect(1);
  lab.change(1, { kind: "remove", id: 1 });
  lab.change(1, { kind: "add-learner", id: 1 });
  lab.change(1, { kind: "add-voter", id: 0 });
  t.same(lab.configuration(1), { voters: [1], learners: [] });
  t.equal(lab.get(1).raft.role, "leader");
  lab.propose(1, "still here");
  t.equal(lab.get(1).applied.at(-1)?.data, "still here");
});

t.test("a restart goes on with the configuration as applied", async (t) => {
  const lab = Lab.of(1, FOUNDER);
  lab.elect(1);
  lab.add(new LabServer(2, JOINER));
  lab.change(1, { kind: "add-learner", id: 2 });
  lab.get(1).restart();
  t.same(lab.configuration(1), { voters: [1], learners: [2] });
  lab.elect(1);
  lab.propose(1, "after");
  t.equal(lab.get(2).applied.at(-1)?.data, "after");
});

t.test("news of a committed change leaves a leader only after the write", async (t) => {
  const lab = Lab.of(2);
  lab.elect(1);
  const { raft } = lab.get(1);
  const acknowledge = () =>
    raft.step({ kind: "append-accepted", from: 2, to: 1, term: 1, index: raft.lastIndex });
  raft.propose(["x"]);
  t.ok(lab.get(1).workOnce().sendEarly);
  acknowledge();
  const ordinary = lab.get(1).workOnce();
  t.equal(ordinary.committed.at(-1)?.data, "x");
  t.ok(ordinary.sendEarly);
  raft.proposeChange({ kind: "remove", id: 2 });
  t.ok(lab.get(1).workOnce().sendEarly, "proposing it is nothing special");
  acknowledge();
  const change = lab.get(1).workOnce();
  t.equal(change.committed.at(-1)?.type, "change");
  t.notOk(change.sendEarly);
  t.notOk(lab.get(2).raft.hasReady() && lab.get(2).workOnce().sendEarly, "nor does a follower");
});
