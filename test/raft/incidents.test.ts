/** Bugs that others had in production, kept from happening here. Each names where it happened. */
import t from "tap";
import type { Message } from "../../src/raft/mod.ts";
import { entriesOf, inRole, Lab, LAB_ELECTION_TICKS, LabServer } from "./lab.ts";

const SAFE = { preVote: true, checkQuorum: true } as const;

function preVote(from: number, to: number, term: number): Message {
  return { kind: "pre-vote", from, to, term, lastIndex: 99, lastTerm: 99 };
}

t.test("a granted pre-vote changes nothing at the voter (hashicorp/raft #609)", async (t) => {
  const server = new LabServer(1, { ...SAFE, term: 3 });
  server.tick(LAB_ELECTION_TICKS - 1);
  const before = server.raft.status();
  server.raft.step(preVote(2, 1, 4));
  t.same(server.raft.status(), before);
  t.same(server.work(), [
    { kind: "pre-vote-response", from: 1, to: 2, term: 4, granted: true },
  ], "and echoes the term it is for (canonical/raft #279)");
});

t.test("a refused pre-vote carries the voter's term, so that a laggard learns it", async (t) => {
  const lab = Lab.of(3, SAFE);
  lab.elect(1);
  lab.isolate(3);
  lab.get(2).tick(LAB_ELECTION_TICKS);
  lab.elect(2);
  lab.get(1).tick(2 * LAB_ELECTION_TICKS);
  lab.settle();
  lab.elect(2);
  const { term } = lab.get(2).raft;
  t.ok(term > 1);
  lab.heal();
  lab.get(3).tick(2 * LAB_ELECTION_TICKS);
  lab.settle();
  t.equal(lab.get(3).raft.term, term);
});

t.test("a server that lacks entries cannot raise the term by asking", async (t) => {
  const lab = Lab.of(3, { preVote: true });
  lab.isolate(3);
  lab.elect(1);
  lab.elect(3);
  t.equal(lab.get(3).raft.role, "pre-candidate");
  lab.heal();
  lab.elect(3);
  t.same(lab.roles(), ["leader", "follower", "follower"]);
  t.same([1, 2, 3].map((id) => lab.get(id).raft.term), [1, 1, 1]);
});

t.test("a server that was cut off for long does not depose the leader (Cloudflare 2020)", async (t) => {
  const lab = Lab.of(3, SAFE);
  lab.elect(1);
  // A partial partition: 1 and 2 talk, 2 and 3 talk, 1 and 3 do not.
  lab.filter = ({ from, to }) => !([from, to].includes(1) && [from, to].includes(3));
  for (let i = 0; i < 20 * LAB_ELECTION_TICKS; i++) {
    for (const server of lab.servers.values()) server.tick();
    lab.settle();
  }
  t.equal(lab.get(1).raft.role, "leader");
  t.equal(lab.get(1).raft.term, 1);
});

t.test("a stale leader hears from a higher term that it is over (etcd #8501)", async (t) => {
  const lab = Lab.of(3, { checkQuorum: true });
  lab.elect(1);
  lab.isolate(3);
  lab.get(3).raft.campaign();
  lab.settle();
  lab.heal();
  t.equal(lab.get(3).raft.term, 2);
  lab.get(1).tick();
  lab.settle();
  t.equal(lab.get(1).raft.role, "follower");
  lab.elect(3);
  t.equal(lab.get(3).raft.role, "leader");
});

t.test("a leader that hears no majority steps down", async (t) => {
  const lab = Lab.of(3, SAFE);
  lab.elect(1);
  lab.isolate(1);
  lab.get(1).tick(LAB_ELECTION_TICKS);
  t.equal(lab.get(1).raft.role, "leader", "all were heard since it last looked");
  lab.get(1).tick(LAB_ELECTION_TICKS);
  t.equal(lab.get(1).raft.role, "follower");
  t.same(lab.get(1).raft.propose(["x"]), { kind: "no-leader" });
});

t.test("a response from a server that was removed is not counted (hashicorp/raft #525)", async (t) => {
  const server = inRole("leader", { voters: [1, 2] });
  t.equal(
    server.raft.step({ kind: "append-accepted", from: 3, to: 1, term: 1, index: 1 }),
    "unknown-peer",
  );
  t.equal(server.raft.commit, 0);
  const candidate = inRole("candidate", { voters: [1, 2] });
  candidate.raft.step({ kind: "vote-response", from: 3, to: 1, term: 1, granted: true });
  t.equal(candidate.raft.role, "candidate");
});

t.test("a follower that lost acknowledged entries stops (etcd #16220)", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.propose(1, "x");
  lab.get(2).disk = { ...new LabServer(2).disk, hardState: { term: 1, vote: 1, commit: 0 } };
  lab.get(2).restart();
  lab.get(1).tick();
  const heartbeat = lab.get(1).work().find((message) => message.to === 2)!;
  t.throws(() => lab.get(2).raft.step(heartbeat), { code: "STORE_DAMAGED" });
});

t.test("a late and shorter append does not cut off what followed it", async (t) => {
  const server = new LabServer(1, { term: 1 });
  const append = (count: number): Message => ({
    kind: "append",
    from: 2,
    to: 1,
    term: 1,
    previousIndex: 0,
    previousTerm: 0,
    entries: entriesOf([1, 1, 1]).slice(0, count),
    commit: 0,
  });
  server.raft.step(append(3));
  server.work();
  server.raft.step(append(1));
  server.work();
  t.equal(server.raft.lastIndex, 3);
});

t.test("entries that changed while they were written are not taken for written", async (t) => {
  const server = new LabServer(1, { term: 1 });
  const append = (from: number, term: number, terms: number[]): Message => ({
    kind: "append",
    from,
    to: 1,
    term,
    previousIndex: 0,
    previousTerm: 0,
    entries: entriesOf(terms),
    commit: 0,
  });
  server.raft.step(append(2, 1, [1, 1]));
  const first = server.raft.ready();
  server.raft.step(append(3, 2, [2]));
  server.write(first);
  server.finish(first);
  t.equal(server.raft.status().stable, 0);
  const second = server.raft.ready();
  t.same(second.entries, entriesOf([2]));
  server.write(second);
  server.finish(second);
  t.same(server.terms, [2]);
  t.equal(server.raft.status().stable, 1);
});

t.test("a snapshot replaces a divergent log as a whole (hashicorp/raft #697)", async (t) => {
  const server = new LabServer(2, { terms: [1, 1, 2, 2, 2, 2], term: 2, commit: 1, applied: 1 });
  const snapshot = { index: 4, term: 3, configuration: { voters: [1, 2, 3], learners: [] } };
  server.raft.step({ kind: "snapshot", from: 1, to: 2, term: 3, snapshot });
  t.same(server.work(), [{ kind: "append-accepted", from: 2, to: 1, term: 3, index: 4 }]);
  t.same(server.disk.entries, []);
  t.equal(server.raft.lastIndex, 4);
  t.equal(server.raft.applied, 4);
  server.restart();
  t.equal(server.raft.termAt(4), 3);
});

t.test("a second snapshot may come while the first is installed (etcd #18055)", async (t) => {
  const server = new LabServer(2, { term: 1 });
  const offer = (index: number): Message => ({
    kind: "snapshot",
    from: 1,
    to: 2,
    term: 1,
    snapshot: { index, term: 1, configuration: { voters: [1, 2, 3], learners: [] } },
  });
  server.raft.step(offer(5));
  const first = server.raft.ready();
  server.raft.step(offer(8));
  server.write(first);
  server.finish(first);
  t.equal(server.raft.applied, 5);
  t.equal(server.workOnce().snapshot?.index, 8);
  t.equal(server.raft.applied, 8);
});

t.test("a snapshot that the log already reaches only moves the commit index", async (t) => {
  const server = new LabServer(2, { terms: [1, 1, 1], commit: 0 });
  const snapshot = { index: 2, term: 1, configuration: { voters: [1, 2, 3], learners: [] } };
  server.raft.step({ kind: "snapshot", from: 1, to: 2, term: 1, snapshot });
  t.equal(server.raft.commit, 2);
  t.equal(server.workOnce().snapshot, undefined);
  t.equal(server.raft.lastIndex, 3);
});

t.test("a snapshot that is not for this server is not installed", async (t) => {
  const server = new LabServer(4, { term: 1 });
  const snapshot = { index: 2, term: 1, configuration: { voters: [1, 2, 3], learners: [] } };
  server.raft.step({ kind: "snapshot", from: 1, to: 4, term: 1, snapshot });
  t.equal(server.raft.commit, 0);
});

t.test("a snapshot says how far the state is when it leaves, not when it was asked for", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.isolate(3);
  lab.propose(1, "a");
  lab.get(1).compact(2);
  const { raft } = lab.get(1);
  raft.propose(["b"]);
  lab.get(1).work();
  raft.step({ kind: "append-accepted", from: 2, to: 1, term: 1, index: 3 });
  const applying = raft.ready();
  t.same(applying.committed.map((entry) => entry.data), ["b"]);
  raft.step({
    kind: "append-rejected",
    from: 3,
    to: 1,
    term: 1,
    index: raft.status().progress[2]!.next - 1,
    hintIndex: 0,
    hintTerm: 0,
  });
  raft.reportUnreachable(3);
  raft.step({ kind: "heartbeat-response", from: 3, to: 1, term: 1, readPosition: 0 });
  t.equal(raft.status().progress[2]?.pendingSnapshot, 2);
  lab.get(1).write(applying);
  lab.get(1).finish(applying);
  const offer = raft.ready().messages.find((message) => message.kind === "snapshot");
  t.equal(offer?.snapshot.index, 3);
});

t.test("the applied index of a restarted server is not applied again", async (t) => {
  const lab = Lab.of(1);
  lab.elect(1);
  lab.propose(1, "once");
  lab.get(1).restart();
  lab.elect(1);
  t.equal(lab.get(1).applied.filter((entry) => entry.data === "once").length, 1);
});

t.test("a log with damage is refused at the start", async (t) => {
  const start = new LabServer(1, { terms: [1, 1, 2], commit: 2, applied: 1 }).disk;
  const broken = {
    hole: { ...start, entries: [start.entries[0]!, start.entries[2]!] },
    fallingTerm: { ...start, entries: entriesOf([1, 2, 1]) },
    termAboveStored: { ...start, hardState: { ...start.hardState, term: 1 } },
    commitBeyondEnd: { ...start, hardState: { ...start.hardState, commit: 4 } },
    appliedBeyondCommit: { ...start, applied: 3 },
    notANumber: { ...start, hardState: { ...start.hardState, commit: 1.5 } },
    twoRoles: { ...start, configuration: { voters: [1, 2], learners: [2] } },
    unsorted: { ...start, configuration: { voters: [2, 1], learners: [] } },
  };
  for (const [name, restored] of Object.entries(broken)) {
    const server = new LabServer(1);
    server.disk = restored;
    t.throws(() => server.restart(), /Assertion failed/, name);
  }
});
