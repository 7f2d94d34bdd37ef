import fc from "fast-check";
import t from "tap";
import { heirOf, nextStep } from "../../src/roles/planner.ts";
import type { Server, Situation, Step } from "../../src/roles/situation.ts";

function server(raftId: number, facts: Partial<Server> = {}): Server {
  const state = { reachable: true, answering: true, caughtUp: true, leaving: false, roomy: true };
  return { raftId, ...state, stableMs: 100_000, unseenMs: 0, ...facts };
}

/** Nothing was heard of it for so long. */
function away(raftId: number, unseenMs: number, facts: Partial<Server> = {}): Server {
  return server(raftId, { reachable: false, answering: false, stableMs: 0, unseenMs, ...facts });
}

function situation(facts: Partial<Situation>): Situation {
  return { leader: 1, voters: [1], learners: [], servers: [server(1)], votersWanted: 3, ...facts };
}

/** What is asked for happens at once. */
function after(now: Situation, step: Step): Situation {
  const without = (ids: readonly number[]) => ids.filter((id) => id !== step.raftId);
  const [voters, learners] = [without(now.voters), without(now.learners)];
  switch (step.kind) {
    case "add-standby":
    case "demote":
      return { ...now, voters, learners: [...learners, step.raftId] };
    case "promote":
      return { ...now, voters: [...voters, step.raftId], learners };
    case "remove":
      return { ...now, voters, learners };
    case "transfer":
      return { ...now, leader: step.raftId };
  }
}

/** Takes steps until there are none. */
function settle(
  start: Situation,
): { readonly end: Situation; readonly sizes: readonly number[]; readonly steps: string[] } {
  let now = start;
  const sizes = [now.voters.length];
  const steps: string[] = [];
  for (let i = 0; i < 100; i++) {
    const step = nextStep(now);
    if (step === undefined) return { end: now, sizes, steps };
    now = after(now, step);
    steps.push(`${step.kind} ${step.raftId}`);
    sizes.push(now.voters.length);
  }
  throw new Error(`the planner does not come to rest: ${steps.slice(-6)}`);
}

t.test("a single server is left alone", async (t) => {
  t.equal(nextStep(situation({})), undefined);
});

t.test("two servers are one voter and one standby", async (t) => {
  const { end } = settle(situation({ servers: [server(1), server(2)] }));
  t.same([end.voters, end.learners], [[1], [2]]);
});

t.test("three servers are three voters, never two while a pair is not ready", async (t) => {
  const servers = [server(1), server(2), server(3)];
  const one = situation({
    learners: [2, 3],
    servers: [...servers.slice(0, 2), server(3, { caughtUp: false })],
  });
  t.equal(nextStep(one), undefined);
  const { end, sizes } = settle(situation({ servers }));
  t.same(end.voters, [1, 2, 3]);
  t.equal(sizes.filter((size) => size === 2).length, 1);
});

t.test("seven servers are three voters and two standbys; the rest only watches", async (t) => {
  const servers = [1, 2, 3, 4, 5, 6, 7].map((id) => server(id));
  const { end } = settle(situation({ servers }));
  t.same([end.voters.length, end.learners.length], [3, 2]);
});

t.test("five voters when asked for", async (t) => {
  const servers = [1, 2, 3, 4, 5, 6].map((id) => server(id));
  t.equal(settle(situation({ servers, votersWanted: 5 })).end.voters.length, 5);
});

t.test("a member whose node is gone is taken out", async (t) => {
  const servers = [server(1), server(2)];
  t.same(nextStep(situation({ voters: [1, 2, 3], servers })), { kind: "remove", raftId: 3 });
});

t.test("nobody is taken out when the rest could not decide any more", async (t) => {
  const servers = [server(1), away(2, 5_000), away(3, 5_000, { leaving: true })];
  t.equal(nextStep(situation({ voters: [1, 2, 3], servers })), undefined);
});

t.test("a leader that leaves hands over first, then goes", async (t) => {
  const servers = [server(1, { leaving: true }), server(2), server(3)];
  const leaving = situation({ voters: [1, 2, 3], servers });
  t.same(nextStep(leaving), { kind: "transfer", raftId: 2 });
  t.same(nextStep({ ...leaving, leader: 2 }), { kind: "remove", raftId: 1 });
});

t.test("a leader whose disk runs full hands over to one with room", async (t) => {
  const low = server(1, { roomy: false });
  const three = (second: Partial<Server>, third: Partial<Server>) =>
    nextStep(
      situation({ voters: [1, 2, 3], servers: [low, server(2, second), server(3, third)] }),
    );
  t.same(three({ roomy: false }, {}), { kind: "transfer", raftId: 3 });
  t.same(three({ caughtUp: false }, {}), { kind: "transfer", raftId: 3 });
  t.equal(three({ roomy: false }, { roomy: false }), undefined, "nobody is better off");
  t.equal(nextStep(situation({ servers: [low] })), undefined, "and a sole voter stays");
});

t.test("a sole voter that leaves makes its standby a voter first", async (t) => {
  const servers = [server(1, { leaving: true }), server(2)];
  t.same(nextStep(situation({ learners: [2], servers })), { kind: "promote", raftId: 2 });
});

t.test("a voter that is away for less than a minute keeps its place", async (t) => {
  const servers = (unseenMs: number) => [1, 2, 4].map((id) => server(id)).concat(away(3, unseenMs));
  const three = { voters: [1, 2, 3], learners: [4] };
  t.equal(nextStep(situation({ ...three, servers: servers(59_999) })), undefined);
  const { end, steps } = settle(situation({ ...three, servers: servers(60_000) }));
  t.same(steps, ["demote 3", "promote 4"], "the dead goes first: the majority stays two");
  t.same([end.voters, end.learners], [[1, 2, 4], [3]]);
  t.equal(nextStep({ ...end, servers: [1, 2, 3, 4].map((id) => server(id)) }), undefined);
});

t.test("a lost voter stays where nobody could take its place, and costs no majority", async (t) => {
  const lost = away(3, 1e6);
  const three = situation({ voters: [1, 2, 3], servers: [server(1), server(2), lost] });
  t.equal(nextStep(three), undefined, "two would be no better");
  const late = { ...three, servers: [...three.servers, server(4, { caughtUp: false })] };
  t.same(settle(late).steps, ["add-standby 4"]);
  const servers = [server(1), server(2), server(3), away(4, 1e6), away(5, 1e6), server(6)];
  const five = situation({ voters: [1, 2, 3, 4, 5], learners: [6], servers, votersWanted: 5 });
  t.same(settle(five).end.voters, [1, 2, 3, 5, 6], "one of two: there is one standby");
});

t.test("a living voter that leaves goes once its successor votes", async (t) => {
  const servers = [server(1), server(2), server(3, { leaving: true }), server(4)];
  const { steps, end } = settle(situation({ voters: [1, 2, 3], learners: [4], servers }));
  t.same(steps, ["promote 4", "remove 3"]);
  t.same(end.voters, [1, 2, 4]);
});

t.test("voters spread over zones, also where the last zone came late", async (t) => {
  const zoned = (raftId: number, zone: string, more: Partial<Server> = {}) =>
    server(raftId, { zone, ...more });
  const servers = [zoned(1, "a"), zoned(2, "a"), zoned(3, "a"), zoned(4, "b"), zoned(5, "c")];
  t.same(settle(situation({ servers })).end.voters, [1, 4, 5]);
  const grown = situation({ voters: [1, 2, 3], learners: [4, 5], servers });
  const { end, sizes } = settle(grown);
  t.same([...end.voters].sort(), [1, 4, 5]);
  t.ok(sizes.every((size) => size >= 3), "who lives goes second");
  const fresh = [...servers.slice(0, 3), zoned(4, "b", { stableMs: 59_000 })];
  t.equal(nextStep({ ...grown, learners: [4], servers: fresh }), undefined, "it may not stay");
  const restarting = [servers[0]!, servers[1]!, away(3, 1_000, { zone: "a" }), servers[3]!];
  t.equal(nextStep({ ...grown, learners: [4], servers: restarting }), undefined, "not all is well");
});

t.test("what an operator prefers is done, and stays done", async (t) => {
  const prefer = (raftId: number, preferred: "voter" | "standby") => server(raftId, { preferred });
  const four = (...servers: Server[]) =>
    settle(situation({ voters: [1, 2, 3], learners: [4], servers }));
  const promoted = four(server(1), server(2), server(3), prefer(4, "voter"));
  t.same(promoted.steps, ["promote 4", "demote 3"]);
  const demoted = four(server(1), prefer(2, "standby"), server(3), server(4));
  t.same(demoted.steps, ["promote 4", "demote 2"]);
  const leader = four(prefer(1, "standby"), server(2), server(3), server(4));
  t.same(leader.steps, ["transfer 2", "promote 4", "demote 1"]);
  const two = settle(situation({ learners: [2], servers: [server(1), prefer(2, "voter")] }));
  t.same(two.steps, ["promote 2", "transfer 2", "demote 1"]);
  const needed = settle(
    situation({ voters: [1, 2, 3], servers: [server(1), server(2), prefer(3, "standby")] }),
  );
  t.same(needed.steps, [], "but nobody votes less for it");
});

t.test("who is needed as a voter is taken in though there are two standbys", async (t) => {
  const more = (...servers: Server[]) =>
    settle(situation({ voters: [1, 2, 3], learners: [4, 5], servers }));
  const five = [1, 2, 3, 4, 5].map((id) => server(id));
  const chosen = more(...five, server(6, { preferred: "voter" }));
  t.same(chosen.steps, ["remove 5", "add-standby 6", "promote 6", "demote 3"]);
  const zoned = five.map((one, i) => ({ ...one, zone: "aabab"[i]! }));
  const spread = more(...zoned, server(6, { zone: "c" }));
  t.same([...spread.end.voters].sort(), [1, 3, 6]);
  t.same(
    more(...zoned, server(6, { zone: "c", stableMs: 5_000 })).steps,
    [],
    "once it has settled",
  );
  t.same(more(...five, server(6)).steps, []);
});

t.test("standbys beyond two go, a lost one when somebody else is there", async (t) => {
  const servers = [1, 2, 3, 4, 5, 6].map((id) => server(id));
  const many = situation({ voters: [1, 2, 3], learners: [4, 5, 6], servers });
  t.same(settle(many).steps, ["remove 6"]);
  const lost = [...servers.slice(0, 4), away(5, 1e6), servers[5]!];
  t.same(settle({ ...many, learners: [4, 5], servers: lost }).steps, [
    "remove 5",
    "add-standby 6",
  ]);
  t.same(settle({ ...many, learners: [4, 5], servers: lost.slice(0, 5) }).steps, []);
});

t.test("a leader that stops is followed by a voter with room on its disk", async (t) => {
  const servers = [server(1), server(2, { roomy: false }), server(3), server(4)];
  const three = situation({ voters: [1, 2, 3], learners: [4], servers });
  t.equal(heirOf(three), 3);
  t.equal(heirOf({ ...three, servers: [server(1), servers[1]!, away(3, 100)] }), 2);
  t.equal(heirOf(situation({ learners: [4], servers })), undefined);
});

t.test("no group is made smaller around a member that may have died a moment ago", async (t) => {
  const quiet = { answering: false };
  const three = situation({
    voters: [1, 2, 3],
    servers: [server(1), server(2, quiet), server(3, { leaving: true })],
  });
  t.equal(nextStep(three), undefined);
  const heard = { ...three, servers: [server(1), server(2), server(3, { leaving: true })] };
  t.same(nextStep(heard), { kind: "remove", raftId: 3 });
});

/** Servers in any state; the leader is one that lives. */
const anySituation = fc.record({
  others: fc.array(
    fc.record({
      unseenMs: fc.constantFrom(0, 0, 0, 0, 5_000, 100_000),
      stableMs: fc.constantFrom(1_000, 100_000),
      caughtUp: fc.boolean(),
      leaving: fc.constantFrom(false, false, false, true),
      roomy: fc.boolean(),
      zone: fc.constantFrom("a", "b", "c", undefined),
      preferred: fc.constantFrom("voter", "standby", undefined, undefined),
      place: fc.constantFrom("voter", "voter", "learner", "none"),
      isGone: fc.constantFrom(false, false, false, false, true),
    }),
    { maxLength: 9 },
  ),
  leaderLeaves: fc.constantFrom(false, false, true),
  votersWanted: fc.constantFrom(3, 5),
}).map(({ others, leaderLeaves, votersWanted }): Situation => {
  const members = others.map(({ place, isGone, zone, preferred, ...facts }, i) => ({
    ...{ place, isGone },
    facts: {
      ...facts,
      raftId: i + 2,
      reachable: facts.unseenMs === 0,
      answering: facts.unseenMs === 0,
      stableMs: facts.unseenMs === 0 ? facts.stableMs : 0,
      ...(zone === undefined ? {} : { zone }),
      ...(preferred === undefined ? {} : { preferred }),
    } as Server,
  }));
  const at = (wanted: string) =>
    members.filter(({ place }) => place === wanted).map(({ facts }) => facts.raftId);
  return {
    leader: 1,
    voters: [1, ...at("voter")].slice(0, 6),
    learners: at("learner").slice(0, 4),
    servers: [
      server(1, { leaving: leaderLeaves }),
      ...members.filter(({ isGone }) => !isGone).map(({ facts }) => facts),
    ],
    votersWanted,
  };
});

function serverOf(now: Situation, raftId: number): Server | undefined {
  return now.servers.find((server) => server.raftId === raftId);
}

function hasMajority(now: Situation): boolean {
  const active = now.voters.filter((id) => id === now.leader || serverOf(now, id)?.reachable);
  return active.length > now.voters.length / 2;
}

/** What a step must never do. */
function isSafe(before: Situation, step: Step): boolean {
  const now = after(before, step);
  if (step.kind === "transfer") {
    return before.voters.includes(step.raftId) && serverOf(before, step.raftId)!.reachable;
  }
  const changed = now.voters.filter((id) => !before.voters.includes(id)).length +
    before.voters.filter((id) => !now.voters.includes(id)).length;
  const others = new Set([...before.voters, ...before.learners]);
  return changed <= 1 && now.voters.includes(now.leader) &&
    (hasMajority(now) || step.kind === "add-standby") &&
    (step.kind === "add-standby") === !others.has(step.raftId);
}

/** What must hold where there is nothing more to do. */
function isWellAtRest(now: Situation): boolean {
  const ready = now.learners.map((id) => serverOf(now, id))
    .filter((server) => server?.reachable && server.caughtUp && !server.leaving);
  const odd = now.voters.length % 2 === 1;
  return (odd || ready.length === 0) && now.voters.length <= 5 + Number(!odd) &&
    nextStep({
        ...now,
        servers: now.servers.map((server) => ({
          ...server,
          stableMs: server.stableMs && server.stableMs + 1e6,
        })),
      })?.kind !== "demote";
}

t.test("whatever there is, each step is safe, and they come to an end", async (t) => {
  fc.assert(
    fc.property(anySituation.filter(hasMajority), (start) => {
      let now = start;
      for (let i = 0; i < 60; i++) {
        const step = nextStep(now);
        if (step === undefined) return isWellAtRest(now);
        if (!isSafe(now, step)) return false;
        now = after(now, step);
      }
      return false;
    }),
    { numRuns: 3_000 },
  );
  t.pass();
});

t.test("a group of the living is whole in the end, in as many zones as can be", async (t) => {
  fc.assert(
    fc.property(anySituation, (start) => {
      const servers = start.servers.map((facts) =>
        server(facts.raftId, facts.zone === undefined ? {} : { zone: facts.zone })
      );
      const alive = (ids: readonly number[]) =>
        ids.filter((id) => servers.some(({ raftId }) => raftId === id));
      const { end } = settle({
        ...start,
        ...{ servers, voters: alive(start.voters), learners: alive(start.learners) },
      });
      const odd = servers.length - 1 + servers.length % 2;
      const zones = (ids: readonly number[]) =>
        new Set(ids.map((id) => serverOf({ ...start, servers }, id)!.zone ?? "")).size;
      const aim = servers.length < 3 ? 1 : Math.min(start.votersWanted, odd);
      const standbys = Math.min(2, servers.length - aim);
      const reach = Math.min(zones(servers.map(({ raftId }) => raftId)), aim);
      return end.voters.length === aim && end.learners.length === standbys &&
        (zones(end.voters) >= reach);
    }),
    { numRuns: 2_000 },
  );
  t.pass();
});

t.test("a cluster that lives a while is never without its majority by its own steps", async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ which: fc.nat(6), what: fc.constantFrom("dies", "comes", "waits") }), {
        maxLength: 25,
      }),
      (events) => {
        let now = situation({ servers: [1, 2, 3, 4, 5, 6, 7].map((id) => server(id)) });
        for (const { which, what } of events) {
          now = befall(settle(now).end, which + 1, what);
          if (!hasMajority(now)) return true;
        }
        return settle(now).end.voters.length >= 3;
      },
    ),
    { numRuns: 1_000 },
  );
  t.pass();
});

/** What happens to one server; who leads is followed by somebody who lives. */
function befall(now: Situation, raftId: number, what: "dies" | "comes" | "waits"): Situation {
  const servers = now.servers.map((old) => {
    if (what === "waits") return old.reachable ? old : { ...old, unseenMs: old.unseenMs + 40_000 };
    if (old.raftId !== raftId) return old;
    return what === "dies" ? away(raftId, 1) : server(raftId);
  });
  const alive = now.voters.filter((id) => servers[id - 1]!.reachable);
  return { ...now, servers, leader: alive.includes(now.leader) ? now.leader : alive[0] ?? 1 };
}
