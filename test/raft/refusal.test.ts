/** What a refused vote brings besides: how far the log is committed. */
import t from "tap";
import { type Message, type Place, refusalOfFormer, type Role } from "../../src/raft/mod.ts";
import { inRole, Lab, LAB_ELECTION_TICKS, type LabServer, type ServerStart } from "./lab.ts";

const PRODUCT: ServerStart = { preVote: true, checkQuorum: true };

function refused(term: number, committed: Place): Message {
  return { kind: "vote-response", from: 2, to: 1, term, granted: false, committed };
}

/** A server whose log has these terms, and that knows none of it to be committed. */
function candidate(role: Role = "candidate", terms: readonly number[] = [1, 1, 2]): LabServer {
  return inRole(role, { terms, term: 2, commit: 0 });
}

/** Until nobody has had anything to say for two election timeouts. */
function pass(lab: Lab): void {
  for (let i = 0; i < 4 * LAB_ELECTION_TICKS; i++) {
    for (const server of lab.servers.values()) server.tick();
    lab.settle();
  }
}

t.test("a refused candidate commits what it has, and only that", async (t) => {
  const cases: readonly [string, Place, number][] = [
    ["its own entry", { index: 3, term: 2 }, 3],
    ["an earlier one", { index: 2, term: 1 }, 2],
    ["another entry in that place", { index: 3, term: 3 }, 0],
    ["one of an earlier term in that place", { index: 3, term: 1 }, 0],
    ["what is beyond its log", { index: 4, term: 2 }, 0],
    ["nothing", { index: 0, term: 0 }, 0],
  ];
  for (const [what, committed, commit] of cases) {
    const { raft } = candidate();
    raft.step(refused(raft.term, committed));
    t.equal(raft.commit, commit, what);
  }
});

t.test("what is committed is so whatever became of the vote", async (t) => {
  for (const role of ["follower", "candidate"] as const) {
    for (const ahead of [-2, 0, 5]) {
      const { raft } = candidate(role);
      raft.step(refused(raft.term + ahead, { index: 2, term: 1 }));
      t.equal(raft.commit, 2, `${role}, ${ahead} terms`);
    }
  }
  const { raft } = candidate("leader");
  raft.step(refused(raft.term, { index: 2, term: 1 }));
  t.equal(raft.commit, 0, "a leader counts by itself");
});

t.test("what was committed before is not taken back", async (t) => {
  const { raft } = inRole("candidate", { terms: [1, 1, 2], commit: 3, applied: 3 });
  raft.step(refused(raft.term, { index: 1, term: 1 }));
  t.equal(raft.commit, 3);
});

t.test("who is no member cannot tell", async (t) => {
  const { raft } = candidate();
  const stranger = { ...refused(raft.term, { index: 3, term: 2 }), from: 9 };
  t.equal(raft.step(stranger), "unknown-peer");
  t.equal(raft.commit, 0);
});

t.test("every refusal tells, of a vote and of a pre-vote, also to who is behind", async (t) => {
  const log = { terms: [1, 1, 2], term: 5, commit: 2, ...PRODUCT } as const;
  const committed = { index: 2, term: 1 };
  const place = { lastIndex: 1, lastTerm: 1 };
  const answers = [
    { kind: "vote", term: 6, transfer: false, ...place },
    ...[3, 5, 6].map((term) => ({ kind: "pre-vote", term, ...place })),
  ].map((message) => {
    const server = inRole("follower", log);
    server.raft.step({ from: 2, to: 1, ...message } as Message);
    return server.work().at(-1)!;
  });
  t.same(
    answers,
    ["vote-response", ...Array<string>(3).fill("pre-vote-response")].map((kind) => ({
      ...{ kind, from: 1, to: 2, granted: false, committed },
      term: kind === "vote-response" ? 6 : 5,
    })),
  );
});

t.test("a candidate that learns of a change gives up until it is applied", async (t) => {
  for (const start of [{ preVote: false }, PRODUCT]) {
    const lab = Lab.of(3, start);
    lab.elect(1);
    lab.filter = ({ kind, to }) => to === 2 && kind === "append";
    lab.change(1, { kind: "add-learner", id: 4 });
    lab.isolate(2);
    const { raft } = lab.get(2);
    const { commit, lastIndex } = raft;
    t.equal(lastIndex, commit + 1, "it has the change, and does not know more");
    lab.get(2).tick(2 * LAB_ELECTION_TICKS);
    lab.get(2).work();
    t.ok(["candidate", "pre-candidate"].includes(raft.role));
    const { term, vote } = lab.get(2).disk.hardState;
    raft.step({ ...refused(0, { index: lastIndex, term: 1 }), from: 3, to: 2 });
    t.equal(raft.role, "follower");
    t.equal(raft.campaign(), "change-unapplied");
    const late = { from: 1, to: 2, term: raft.term, granted: true };
    raft.step({ kind: "vote-response", ...late });
    raft.step({ kind: "pre-vote-response", ...late, term: raft.term + 1 });
    t.equal(raft.role, "follower", "votes of before do not count any more");
    lab.get(2).work();
    t.same(raft.configuration, { voters: [1, 2, 3], learners: [4] });
    t.same(lab.get(2).disk.hardState, { term, vote, commit: lastIndex });
    t.equal(raft.campaign(), "started");
  }
});

/** The leader of two takes itself out; the other has that, and not the news that it is done. */
function shrunk(kind: "remove" | "add-learner"): Lab {
  const lab = Lab.of(2, PRODUCT);
  lab.elect(1);
  const at = lab.get(1).raft.lastIndex + 1;
  lab.get(1).raft.proposeChange({ kind, id: 1 });
  lab.get(1).work().forEach((message) => lab.deliver(message));
  lab.get(1).raft.propose(["longer"]);
  lab.filter = (message) =>
    !("commit" in message && message.commit >= at) &&
    !(message.kind === "append" && message.previousIndex >= at);
  lab.settle();
  lab.heal();
  return lab;
}

t.test("of two, one that was demoted and has more does not keep the other from leading", async (t) => {
  const lab = shrunk("add-learner");
  t.same(lab.configuration(1), { voters: [2], learners: [1] });
  t.same(lab.configuration(2), { voters: [1, 2], learners: [] });
  t.ok(lab.get(1).raft.lastIndex > lab.get(2).raft.lastIndex);
  pass(lab);
  t.same(lab.roles(), ["follower", "leader"]);
  t.same(lab.configuration(2), { voters: [2], learners: [1] });
  lab.propose(2, "on");
  t.equal(lab.get(1).applied.at(-1)?.data, "on");
});

t.test("of two, one that was removed does not keep the other from leading", async (t) => {
  const lab = shrunk("remove");
  const { disk: { applied }, raft } = lab.get(1);
  const committed = { index: applied, term: raft.termAt(applied)! };
  lab.servers.delete(1);
  pass(lab);
  t.equal(lab.get(2).raft.role, "pre-candidate", "it has given up its log, and is not asked");
  const asked = lab.get(2).work().concat(lab.sent).findLast(({ kind }) => kind === "pre-vote")!;
  lab.get(2).raft.step(refusalOfFormer(asked, committed)!);
  pass(lab);
  t.equal(lab.get(2).raft.role, "leader");
  t.same(lab.configuration(2), { voters: [2], learners: [] });
});

t.test("a former member answers who asks for a vote, and says no in no term", async (t) => {
  const committed = { index: 7, term: 3 };
  const envelope = { from: 2, to: 1, term: 4 };
  const place = { lastIndex: 9, lastTerm: 9 };
  const said = { from: 1, to: 2, term: 0, granted: false, committed };
  t.same(refusalOfFormer({ kind: "pre-vote", ...envelope, ...place }, committed), {
    kind: "pre-vote-response",
    ...said,
  });
  t.same(refusalOfFormer({ kind: "vote", ...envelope, ...place, transfer: true }, committed), {
    kind: "vote-response",
    ...said,
  });
  t.equal(refusalOfFormer({ kind: "timeout-now", ...envelope }, committed), undefined);
  const { raft } = candidate();
  raft.step({ kind: "vote-response", ...said, from: 2, to: 1 });
  t.equal(raft.status().role, "candidate", "it counts as no refusal either");
  t.equal(raft.term, 3);
});
