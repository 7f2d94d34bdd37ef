/** What sections 5.1 and 5.2 of the Raft paper promise, one test each. */
import t from "tap";
import { seededRandom } from "../../src/base/random.ts";
import type { Message, Role, VoteResponse } from "../../src/raft/mod.ts";
import { inRole, Lab, LAB_ELECTION_TICKS, LabServer } from "./lab.ts";

const ROLES: readonly Role[] = ["follower", "candidate", "leader"];

function append(from: number, to: number, term: number): Message {
  return {
    kind: "append",
    from,
    to,
    term,
    previousIndex: 0,
    previousTerm: 0,
    entries: [],
    commit: 0,
  };
}

/** What the paper has in an answer to a candidate. */
function ballot(message: Message) {
  t.equal(message.kind, "vote-response");
  const { from, to, term, granted } = message as VoteResponse;
  return { from, to, term, granted };
}

t.test("5.1: a server that sees a larger term takes it over and is a follower", async (t) => {
  for (const role of ROLES) {
    const server = inRole(role);
    t.equal(server.raft.role, role);
    server.raft.step(append(2, 1, 7));
    t.equal(server.raft.term, 7);
    t.equal(server.raft.role, "follower");
    t.equal(server.raft.leader, 2);
    server.work();
    t.equal(server.disk.hardState.term, 7, "the term is persisted");
  }
});

t.test("5.1: a request with a stale term is rejected", async (t) => {
  for (const role of ROLES) {
    const server = inRole(role, { term: 4 });
    const before = server.raft.status();
    server.raft.step(append(2, 1, 3));
    server.raft.step({
      kind: "vote",
      from: 2,
      to: 1,
      term: 3,
      lastIndex: 99,
      lastTerm: 3,
      transfer: false,
    });
    t.same(server.raft.status(), before);
    t.notOk(server.work().some((message) => message.to === 2), "and gets no vote");
  }
});

t.test("5.2: a server starts as a follower", async (t) => {
  t.equal(new LabServer(1).raft.role, "follower");
});

t.test("5.2: a leader sends heartbeats to everyone, one per interval", async (t) => {
  const server = inRole("leader", { voters: [1, 2, 3, 4, 5], heartbeatTicks: 3 });
  for (let round = 0; round < 2; round++) {
    server.tick(2);
    t.same(server.work(), []);
    server.tick();
    const heartbeats = server.work().filter((message) => message.kind === "heartbeat");
    t.same(heartbeats.map((message) => message.to), [2, 3, 4, 5]);
  }
});

for (const role of ["follower", "candidate"] as const) {
  t.test(`5.2: a ${role} that hears nothing starts an election in the next term`, async (t) => {
    const server = inRole(role);
    const { term } = server.raft;
    server.tick(2 * LAB_ELECTION_TICKS);
    t.equal(server.raft.role, "candidate");
    t.equal(server.raft.term, term + 1);
    const messages = server.work();
    t.same(server.disk.hardState, { term: term + 1, vote: 1, commit: 0 }, "it votes for itself");
    const votes = messages.filter((message) => message.kind === "vote");
    t.same(votes.map(({ to, term }) => [to, term]), [[2, term + 1], [3, term + 1]]);
  });

  t.test(`5.2: the election timeout of a ${role} is random, from T up to 2T`, async (t) => {
    const timeouts = new Set<number>();
    for (let seed = 1; seed <= 300; seed++) {
      const server = inRole(role, { seed });
      let ticks = 0;
      const { term } = server.raft;
      while (server.raft.term === term) {
        server.tick();
        ticks++;
      }
      timeouts.add(ticks);
    }
    t.same(
      [...timeouts].sort((a, b) => a - b),
      Array.from({ length: LAB_ELECTION_TICKS }, (_, i) => LAB_ELECTION_TICKS + i),
    );
  });
}

t.test("5.2: random timeouts make split votes rare", async (t) => {
  let conflicts = 0;
  const rounds = 500;
  for (let round = 0; round < rounds; round++) {
    const random = seededRandom(round);
    const servers = [1, 2, 3, 4, 5].map((id) => new LabServer(id, { random }));
    while (servers.every(({ raft }) => raft.role === "follower")) {
      servers.forEach((server) => server.tick());
    }
    if (servers.filter(({ raft }) => raft.role === "candidate").length > 1) conflicts++;
  }
  t.ok(conflicts / rounds < 0.5, `${conflicts} of ${rounds} elections began together`);
});

t.test("5.2: votes decide: a majority wins, a refusing majority loses, else it goes on", async (t) => {
  const cases: readonly (readonly [number, readonly boolean[], Role])[] = [
    [1, [], "leader"],
    [3, [true], "leader"],
    [3, [false], "candidate"],
    [3, [false, false], "follower"],
    [5, [true], "candidate"],
    [5, [true, true], "leader"],
    [5, [true, false, false], "candidate"],
    [5, [true, false, false, false], "follower"],
    [4, [true], "candidate"],
    [4, [true, true], "leader"],
    [4, [false, false], "follower"],
  ];
  for (const [count, votes, wanted] of cases) {
    const voters = Array.from({ length: count }, (_, i) => i + 1);
    const server = inRole("candidate", { voters });
    votes.forEach((granted, i) =>
      server.raft.step({ kind: "vote-response", from: i + 2, to: 1, term: 1, granted })
    );
    t.equal(server.raft.role, wanted, `${count} voters, ${votes}`);
    t.equal(server.raft.term, 1);
  }
});

t.test("5.2: the same vote twice is one vote", async (t) => {
  const server = inRole("candidate", { voters: [1, 2, 3, 4, 5] });
  for (let i = 0; i < 3; i++) {
    server.raft.step({ kind: "vote-response", from: 2, to: 1, term: 1, granted: true });
  }
  t.equal(server.raft.role, "candidate");
});

t.test("5.2: a candidate's own vote counts only once it is on disk", async (t) => {
  const server = new LabServer(1, { voters: [1] });
  server.raft.campaign();
  const ready = server.raft.ready();
  t.ok(ready.mustSync);
  t.same(ready.hardState, { term: 1, vote: 1, commit: 0 });
  t.equal(server.raft.role, "candidate");
  server.write(ready);
  server.finish(ready);
  t.equal(server.raft.role, "leader");
});

t.test("5.2: each server votes for at most one candidate in a term, first come", async (t) => {
  const cases: readonly (readonly [number, number, boolean])[] = [
    [0, 1, true],
    [0, 2, true],
    [1, 1, true],
    [2, 2, true],
    [1, 2, false],
    [2, 1, false],
  ];
  for (const [vote, from, granted] of cases) {
    const server = new LabServer(3, { term: 1, vote });
    server.raft.step({
      kind: "vote",
      from,
      to: 3,
      term: 1,
      lastIndex: 0,
      lastTerm: 0,
      transfer: false,
    });
    t.same(server.work().map(ballot), [
      { from: 3, to: from, term: 1, granted },
    ], `voted for ${vote}, asked by ${from}`);
    t.equal(server.disk.hardState.vote, granted ? from : vote);
  }
});

t.test("5.2: a vote survives a restart", async (t) => {
  const server = new LabServer(3);
  const ask = (from: number): Message => ({
    kind: "vote",
    from,
    to: 3,
    term: 1,
    lastIndex: 0,
    lastTerm: 0,
    transfer: false,
  });
  server.raft.step(ask(1));
  server.work();
  server.restart();
  server.raft.step(ask(2));
  t.same(server.work().map(ballot), [{ from: 3, to: 2, term: 1, granted: false }]);
});

t.test("5.2: a candidate that hears the leader of its term, or a later one, gives up", async (t) => {
  for (const term of [1, 2]) {
    const server = inRole("candidate");
    server.raft.step(append(2, 1, term));
    t.equal(server.raft.role, "follower");
    t.equal(server.raft.term, term);
    t.equal(server.raft.leader, 2);
  }
});

t.test("5.2: a follower that hears its leader does not campaign", async (t) => {
  const server = new LabServer(1, { term: 1 });
  for (let i = 0; i < 10 * LAB_ELECTION_TICKS; i++) {
    server.raft.step({
      kind: "heartbeat",
      from: 2,
      to: 1,
      term: 1,
      commit: 0,
      readPosition: 0,
    });
    server.tick();
  }
  t.equal(server.raft.role, "follower");
  t.equal(server.raft.term, 1);
});

t.test("5.2: three servers elect one leader, and another when it is gone", async (t) => {
  const lab = Lab.of(3);
  lab.elect(1);
  t.same(lab.roles(), ["leader", "follower", "follower"]);
  lab.isolate(1);
  lab.elect(2);
  t.same(lab.roles(), ["leader", "leader", "follower"], "the old one cannot know yet");
  lab.heal();
  lab.get(2).tick();
  lab.settle();
  lab.get(1).tick();
  lab.settle();
  t.same(lab.roles(), ["follower", "leader", "follower"]);
});
