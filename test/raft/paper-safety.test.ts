/** What section 5.4 of the Raft paper promises about safety, one test each. */
import t from "tap";
import { inRole, Lab, LabServer } from "./lab.ts";

t.test("5.4.1: a request for a vote says what the candidate's log ends with", async (t) => {
  for (const terms of [[1], [1, 2], [1, 1, 3]]) {
    const server = new LabServer(1, { terms, term: 4, commit: 0 });
    server.raft.campaign();
    const lastTerm = terms.at(-1)!;
    t.same(
      server.work(),
      [2, 3].map((to) => ({
        kind: "vote",
        from: 1,
        to,
        term: 5,
        lastIndex: terms.length,
        lastTerm,
        transfer: false,
      })),
    );
  }
});

t.test("5.4.1: nobody votes for a log that is less up-to-date than its own", async (t) => {
  const cases: readonly (readonly [number[], number, number, boolean])[] = [
    // Same last term: the longer log.
    [[1], 1, 1, true],
    [[1], 1, 2, true],
    [[1, 1], 1, 1, false],
    // The candidate's last term is higher.
    [[1], 2, 1, true],
    [[1], 2, 2, true],
    [[1, 1], 2, 1, true],
    // The voter's last term is higher.
    [[2], 1, 1, false],
    [[2], 1, 2, false],
    [[2, 2], 1, 9, false],
  ];
  for (const [terms, lastTerm, lastIndex, granted] of cases) {
    for (const kind of ["vote", "pre-vote"] as const) {
      const server = new LabServer(1, { terms, term: 2, commit: 0 });
      const request = { from: 2, to: 1, term: 3, lastIndex, lastTerm };
      server.raft.step(
        kind === "vote" ? { kind, transfer: false, ...request } : { kind, ...request },
      );
      const [answer] = server.work();
      t.equal(
        answer !== undefined && "granted" in answer && answer.granted,
        granted,
        `${kind} for ${lastTerm}/${lastIndex} by ${terms}`,
      );
    }
  }
});

t.test("5.4.2: only entries of the leader's own term are committed by counting", async (t) => {
  const cases: readonly (readonly [number, number])[] = [
    // The log is 1, 2 and, of this leader's term, 3.
    [1, 0],
    [2, 0],
    [3, 3],
  ];
  for (const [index, commit] of cases) {
    const server = inRole("leader", { terms: [1, 2], term: 2, commit: 0 });
    t.equal(server.raft.term, 3);
    server.raft.step({ kind: "append-accepted", from: 2, to: 1, term: 3, index });
    t.equal(server.raft.commit, commit, `a majority has ${index}`);
  }
});

/**
 * Figure 8. S1 leads in term 2 and gets its entry to S2 only; S5 leads in term 3 with another; S1
 * leads again in term 4 and spreads the old entry to a majority. If that committed it, S5 could
 * still be elected and overwrite it.
 */
function figure8(): Lab {
  const lab = new Lab();
  const terms: Readonly<Record<number, number[]>> = {
    1: [1, 2],
    2: [1, 2],
    3: [1],
    4: [1],
    5: [1, 3],
  };
  for (const id of [1, 2, 3, 4, 5]) {
    const voters = [1, 2, 3, 4, 5];
    lab.add(new LabServer(id, { voters, terms: terms[id]!, term: 3, commit: 1 }));
  }
  return lab;
}

t.test("5.4.2: figure 8, an old entry on a majority is not committed and may be replaced", async (t) => {
  const lab = figure8();
  // S1's own entry of term 4 reaches nobody: only the old one does.
  lab.filter = ({ from, to }) => ![from, to].includes(5);
  lab.get(1).raft.campaign();
  for (const message of lab.get(1).work()) lab.deliver(message);
  for (const id of [2, 3, 4]) lab.get(id).work().forEach((message) => lab.deliver(message));
  const old = lab.get(1).log.slice(1, 2);
  lab.get(1).work();
  t.equal(lab.get(1).raft.role, "leader");
  t.equal(lab.get(1).raft.term, 4);
  for (const id of [2, 3]) {
    lab.get(id).raft.step({
      kind: "append",
      from: 1,
      to: id,
      term: 4,
      previousIndex: 1,
      previousTerm: 1,
      entries: old,
      commit: 1,
    });
    lab.get(id).work().forEach((message) => lab.deliver(message));
  }
  t.same([1, 2, 3].map((id) => lab.get(id).terms[1]), [2, 2, 2], "a majority has it");
  t.equal(lab.get(1).raft.commit, 1, "which commits nothing");
  // (d) S1 crashes; S5 is elected by S2, S3 and S4 and replaces the entry everywhere.
  lab.filter = ({ from, to }) => ![from, to].includes(1);
  lab.elect(5);
  lab.elect(5);
  t.equal(lab.get(5).raft.role, "leader");
  t.same(lab.get(2).log, lab.get(5).log);
  t.equal(lab.get(2).terms[1], 3);
});

t.test("5.4.2: figure 8, with an entry of its own term on a majority all of it is safe", async (t) => {
  const lab = figure8();
  lab.filter = ({ from, to }) => ![from, to].includes(5);
  lab.elect(1);
  t.same(lab.get(3).terms, [1, 2, 4]);
  t.equal(lab.get(1).raft.commit, 3);
  // (e) S5 cannot be elected any more.
  lab.filter = ({ from, to }) => ![from, to].includes(1);
  lab.elect(5);
  lab.elect(5);
  t.equal(lab.get(5).raft.role, "follower");
});

t.test("5.4.3: a leader has all entries that were committed before its term", async (t) => {
  const lab = Lab.of(5);
  lab.elect(1);
  lab.filter = ({ to }) => to !== 4 && to !== 5;
  lab.propose(1, "committed by three");
  t.equal(lab.get(1).raft.commit, 2);
  lab.isolate(1);
  lab.elect(5);
  t.not(lab.get(5).raft.role, "leader", "it lacks a committed entry");
  lab.elect(3);
  t.equal(lab.get(3).raft.role, "leader");
  t.equal(lab.get(4).log[1]?.data, "committed by three");
});

t.test("5.4.3: two leaders in one term stop whoever hears of both", async (t) => {
  const server = inRole("leader");
  t.throws(() =>
    server.raft.step({
      kind: "heartbeat",
      from: 2,
      to: 1,
      term: 1,
      commit: 0,
      readPosition: 0,
    }), /two leaders in term 1/);
});
