import fc from "fast-check";
import t from "tap";
import { nextStep, type Server, type Situation } from "../../src/roles/planner.ts";

function server(raftId: number, facts: Partial<Server> = {}): Server {
  return { raftId, reachable: true, caughtUp: true, leaving: false, roomy: true, ...facts };
}

function situation(facts: Partial<Situation>): Situation {
  return { leader: 1, voters: [1], learners: [], servers: [server(1)], votersWanted: 3, ...facts };
}

/** Takes steps until there are none; what a step asks for happens at once. */
function settle(start: Situation): { readonly end: Situation; readonly sizes: readonly number[] } {
  let now = start;
  const sizes = [now.voters.length];
  for (let i = 0; i < 100; i++) {
    const step = nextStep(now);
    if (step === undefined) return { end: now, sizes };
    const without = (ids: readonly number[]) => ids.filter((id) => id !== step.raftId);
    const [voters, learners] = [without(now.voters), without(now.learners)];
    const next: Record<typeof step.kind, Partial<Situation>> = {
      "add-standby": { learners: [...learners, step.raftId] },
      "promote": { voters: [...voters, step.raftId], learners },
      "demote": { voters, learners: [...learners, step.raftId] },
      "remove": { voters, learners },
      "transfer": { leader: step.raftId },
    };
    now = { ...now, ...next[step.kind] };
    sizes.push(now.voters.length);
  }
  throw new Error("the planner does not come to rest");
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
  const servers = [
    server(1),
    server(2, { reachable: false }),
    server(3, { reachable: false, leaving: true }),
  ];
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

t.test("from any start it comes to rest, with an odd number of reachable voters", async (t) => {
  const anybody = fc.record({
    ...{ reachable: fc.constant(true), leaving: fc.boolean(), roomy: fc.boolean() },
  });
  fc.assert(fc.property(
    fc.array(anybody, { minLength: 0, maxLength: 8 }),
    fc.nat(4),
    fc.constantFrom(3, 5),
    (others, voterCount, votersWanted) => {
      const servers = [
        server(1, { roomy: false }),
        ...others.map((facts, i) => server(i + 2, facts)),
      ];
      const ids = servers.map(({ raftId }) => raftId);
      const { end } = settle(
        situation({ voters: ids.slice(0, voterCount + 1), servers, votersWanted }),
      );
      const staying = servers.filter(({ leaving }) => !leaving).length;
      return end.voters.length % 2 === 1 && end.voters.length <= Math.max(votersWanted, 1) &&
        (staying < 3 ? end.voters.length === 1 : end.voters.length >= 3) &&
        end.voters.every((id) => !servers[id - 1]!.leaving);
    },
  ));
  t.pass();
});
