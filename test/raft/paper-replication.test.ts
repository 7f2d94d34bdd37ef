/** What section 5.3 of the Raft paper promises about replication, one test each. */
import t from "tap";
import type { Message } from "../../src/raft/mod.ts";
import { entriesOf, inRole, Lab, LabServer } from "./lab.ts";

function appends(messages: readonly Message[]) {
  return messages.filter((message) => message.kind === "append");
}

t.test("5.3: a leader appends to its own log and sends the entry to everyone at once", async (t) => {
  const server = inRole("leader");
  const accepted = { kind: "append-accepted", to: 1, term: 1, index: 1 } as const;
  server.raft.step({ ...accepted, from: 2 });
  server.raft.step({ ...accepted, from: 3 });
  server.work();
  t.same(server.raft.propose(["some data"]), { kind: "accepted", firstIndex: 2, term: 1 });
  t.equal(server.raft.lastIndex, 2);
  t.equal(server.raft.commit, 1, "which does not commit it");
  const entry = { index: 2, term: 1, type: "normal", data: "some data" };
  const message = { previousIndex: 1, previousTerm: 1, entries: [entry], commit: 1 };
  t.same(server.work(), [
    { kind: "append", from: 1, to: 2, term: 1, ...message },
    { kind: "append", from: 1, to: 3, term: 1, ...message },
  ]);
  t.same(server.log.at(-1), entry);
});

t.test("5.3: an entry is committed when a majority has it, and then applied", async (t) => {
  const cases: readonly (readonly [number, readonly number[], boolean])[] = [
    [1, [], true],
    [3, [], false],
    [3, [2], true],
    [3, [2, 3], true],
    [5, [2], false],
    [5, [2, 3], true],
    [5, [2, 3, 4, 5], true],
  ];
  for (const [count, acknowledging, committed] of cases) {
    const voters = Array.from({ length: count }, (_, i) => i + 1);
    const server = inRole("leader", { voters });
    const acknowledge = (from: number) =>
      server.raft.step({
        kind: "append-accepted",
        from,
        to: 1,
        term: 1,
        index: server.raft.lastIndex,
      });
    voters.slice(1).forEach(acknowledge);
    server.work();
    server.raft.propose(["x"]);
    server.work();
    acknowledging.forEach(acknowledge);
    server.work();
    t.equal(server.raft.commit, committed ? 2 : 1, `${count} voters, ${acknowledging}`);
    t.equal(server.applied.at(-1)?.data, committed ? "x" : "");
  }
});

t.test("5.3: a leader's own copy counts only once it is written", async (t) => {
  const server = inRole("leader", { voters: [1, 2, 3] });
  server.raft.propose(["x"]);
  const ready = server.raft.ready();
  const { commit } = server.raft;
  server.write(ready);
  t.equal(server.raft.commit, commit);
  server.raft.step({ kind: "append-accepted", from: 2, to: 1, term: 1, index: 2 });
  t.equal(server.raft.commit, 1, "2 is one copy, not two; 1 was written before");
  server.finish(ready);
  t.equal(server.raft.commit, 2);
});

t.test("5.3: a commit also commits what came before, of earlier terms too", async (t) => {
  for (const terms of [[], [2], [1, 2], [1]]) {
    const server = inRole("leader", { terms, term: 2, commit: 0 });
    const { lastIndex } = server.raft;
    server.raft.step({ kind: "append-accepted", from: 2, to: 1, term: 3, index: lastIndex });
    server.work();
    t.same(server.applied.map((entry) => entry.term), [...terms, 3]);
  }
});

t.test("5.3: a leader tells the commit index with the next appends", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  lab.propose(1, "x");
  const last = appends(lab.sent).filter((message) => message.to === 3).at(-1)!;
  t.equal(last.commit, 2);
  t.same([1, 2, 3].map((id) => lab.get(id).raft.commit), [2, 2, 2]);
});

t.test("5.3: a follower applies committed entries in the order of the log", async (t) => {
  for (let commit = 1; commit <= 3; commit++) {
    const server = new LabServer(1, { term: 1 });
    server.raft.step({
      kind: "append",
      from: 2,
      to: 1,
      term: 1,
      previousIndex: 0,
      previousTerm: 0,
      entries: entriesOf([1, 1, 1]),
      commit,
    });
    server.work();
    t.same(server.applied, entriesOf([1, 1, 1]).slice(0, commit));
    t.equal(server.raft.applied, commit);
  }
});

t.test("5.3: a follower refuses an append that does not follow on its log", async (t) => {
  const cases: readonly (readonly [index: number, term: number, hint: readonly number[] | null])[] =
    [
      [0, 0, null],
      [1, 1, null],
      [2, 2, null],
      [1, 2, [1, 1]],
      [2, 1, [1, 1]],
      [3, 3, [2, 2]],
      [9, 1, [1, 1]],
    ];
  for (const [previousIndex, previousTerm, hint] of cases) {
    const server = new LabServer(1, { terms: [1, 2], commit: 0 });
    server.raft.step({
      kind: "append",
      from: 2,
      to: 1,
      term: 3,
      previousIndex,
      previousTerm,
      entries: [],
      commit: 0,
    });
    const envelope = { from: 1, to: 2, term: 3, index: previousIndex };
    const [hintIndex, hintTerm] = hint ?? [];
    t.same(server.work(), [
      hint === null
        ? { kind: "append-accepted", ...envelope }
        : { kind: "append-rejected", hintIndex, hintTerm, ...envelope },
    ], `${previousTerm}/${previousIndex}`);
  }
});

t.test("5.3: a follower replaces what conflicts, keeps what does not, and adds the rest", async (t) => {
  const place = (index: number, term: number) => ({ ...entriesOf([1, 1, 1])[0]!, index, term });
  const cases: readonly (readonly [number, number, readonly [number, number][], number[]])[] = [
    [2, 2, [[3, 3]], [1, 2, 3]],
    [1, 1, [[2, 3], [3, 4]], [1, 3, 4]],
    [0, 0, [[1, 1]], [1, 2]],
    [0, 0, [[1, 3]], [3]],
    [0, 0, [[1, 1], [2, 2]], [1, 2]],
  ];
  for (const [previousIndex, previousTerm, places, wanted] of cases) {
    const server = new LabServer(1, { terms: [1, 2], commit: 0 });
    server.raft.step({
      kind: "append",
      from: 2,
      to: 1,
      term: 4,
      previousIndex,
      previousTerm,
      entries: places.map(([index, term]) => place(index, term)),
      commit: 0,
    });
    server.work();
    t.same(server.terms, wanted);
  }
});

t.test("5.3: a follower commits no further than an append has made its log match", async (t) => {
  const server = new LabServer(1, { terms: [1, 2, 2], term: 2, commit: 0 });
  server.raft.step({
    kind: "append",
    from: 2,
    to: 1,
    term: 3,
    previousIndex: 1,
    previousTerm: 1,
    entries: [],
    commit: 3,
  });
  t.equal(server.raft.commit, 1, "what follows may not be the leader's");
});

t.test("5.3: an acknowledgement leaves a follower only after its write", async (t) => {
  const server = new LabServer(1, { term: 1 });
  server.raft.step({
    kind: "append",
    from: 2,
    to: 1,
    term: 1,
    previousIndex: 0,
    previousTerm: 0,
    entries: entriesOf([1]),
    commit: 0,
  });
  const ready = server.raft.ready();
  t.same(ready.entries, entriesOf([1]));
  t.equal(ready.messages[0]?.kind, "append-accepted", "with the Ready that writes the entry");
  t.ok(ready.mustSync);
});

/** Figure 7: the logs that may meet a leader when it comes to power. */
const FIGURE_7: Readonly<Record<string, readonly number[]>> = {
  a: [1, 1, 1, 4, 4, 5, 5, 6, 6],
  b: [1, 1, 1, 4],
  c: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
  d: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
  e: [1, 1, 1, 4, 4, 4, 4],
  f: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
};

for (const [name, terms] of Object.entries(FIGURE_7)) {
  t.test(`5.3: figure 7, follower ${name} ends with the leader's log`, async (t) => {
    const lab = new Lab();
    const leaderTerms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    lab.add(new LabServer(1, { terms: leaderTerms, term: 7, commit: 0 }));
    lab.add(new LabServer(2, { terms, term: 7, commit: 0 }));
    // Its vote makes the leader: the follower's log may be too long to vote for it.
    lab.add(new LabServer(3, { term: 7 }));
    lab.elect(1);
    t.equal(lab.get(1).raft.role, "leader");
    t.same(lab.get(2).terms, [...leaderTerms, 8]);
    t.same(lab.get(2).log, lab.get(1).log);
    t.equal(lab.get(2).raft.commit, 11);
    const refusals = lab.sent.filter(({ kind, from }) => kind === "append-rejected" && from === 2);
    t.ok(refusals.length <= 2, `found by whole terms, in ${refusals.length} refusals`);
  });
}

t.test("5.3: a leader never overwrites or deletes entries of its own log", async (t) => {
  const lab = Lab.of(3);
  const leader = lab.elect(1);
  lab.propose(1, "x", "y");
  const before = leader.log;
  lab.get(2).disk = { ...lab.get(2).disk, entries: [] };
  leader.raft.step({
    kind: "append-rejected",
    from: 2,
    to: 1,
    term: 1,
    index: 3,
    hintIndex: 0,
    hintTerm: 0,
  });
  lab.settle();
  t.same(leader.log, before);
});
