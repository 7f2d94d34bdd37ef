import fc from "fast-check";
import t from "tap";
import { type Change, changed, type Configuration } from "../../src/raft/configuration.ts";
import { majority, majorityValue, tally } from "../../src/raft/quorum.ts";

t.test("what a majority has, by example", async (t) => {
  const cases: readonly (readonly [number[], number])[] = [
    [[], 0],
    [[7], 7],
    [[7, 3], 3],
    [[7, 3, 5], 5],
    [[7, 3, 5, 9], 5],
    [[9, 7, 5, 3, 1], 5],
    [[0, 0, 5], 0],
  ];
  for (const [values, wanted] of cases) {
    t.equal(majorityValue(values.map((_, i) => i), (i) => values[i]!), wanted, `${values}`);
  }
});

t.test("what a majority has is the highest value that enough voters reach", async (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat(20), { minLength: 1, maxLength: 9 }), (values) => {
      const reached = (value: number) => values.filter((one) => one >= value).length;
      let wanted = 0;
      for (let value = 0; value <= 20; value++) {
        if (reached(value) > values.length / 2) wanted = value;
      }
      return majorityValue(values.map((_, i) => i), (i) => values[i]!) === wanted;
    }),
  );
  t.pass();
});

t.test("a tally is won or lost exactly when no vote to come can change it", async (t) => {
  const votes = fc.array(fc.constantFrom(true, false, undefined), { minLength: 1, maxLength: 7 });
  fc.assert(fc.property(votes, (votes) => {
    const outcomes = completions(votes).map((all) =>
      all.filter((vote) => vote).length > all.length / 2
    );
    const wanted = outcomes.every((won) => won)
      ? "won"
      : outcomes.some((won) => won)
      ? "pending"
      : "lost";
    return tally(votes.map((_, i) => i), (i) => votes[i]) === wanted;
  }));
  t.pass();
});

function completions(votes: readonly (boolean | undefined)[]): boolean[][] {
  return votes.reduce<boolean[][]>(
    (all, vote) =>
      (vote === undefined ? [true, false] : [vote]).flatMap((one) =>
        all.map((some) => [...some, one])
      ),
    [[]],
  );
}

t.test("a change is what it says on sets of ids, or refused where nobody could vote", async (t) => {
  fc.assert(fc.property(steps(), (changes) => {
    let configuration: Configuration = { voters: [1], learners: [] };
    const roles = new Map<number, string>([[1, "voter"]]);
    for (const change of changes) {
      const before = new Map(roles);
      if (change.kind === "add-voter") roles.set(change.id, "voter");
      if (change.kind === "add-learner") roles.set(change.id, "learner");
      if (change.kind === "remove") roles.delete(change.id);
      const refused = change.id < 1 || ![...roles.values()].includes("voter");
      if (refused) {
        roles.clear();
        before.forEach((role, id) => roles.set(id, role));
      }
      const next = changed(configuration, change);
      if ((next === undefined) !== refused) return false;
      configuration = next ?? configuration;
      const having = (role: string) =>
        [...roles].filter(([, one]) => one === role).map(([id]) => id).sort((a, b) => a - b);
      if (`${configuration.voters}` !== `${having("voter")}`) return false;
      if (`${configuration.learners}` !== `${having("learner")}`) return false;
    }
    return true;
  }));
  t.pass();
});

t.test("majorities of neighbouring configurations always share a voter", async (t) => {
  fc.assert(fc.property(steps(), (changes) => {
    let from: Configuration = { voters: [1], learners: [] };
    for (const change of changes) {
      const to = changed(from, change) ?? from;
      const everyone = new Set([...from.voters, ...to.voters]).size;
      if (majority(from.voters.length) + majority(to.voters.length) <= everyone) return false;
      from = to;
    }
    return true;
  }));
  t.pass();
});

t.test("applying a change twice is applying it once", async (t) => {
  fc.assert(fc.property(steps(), (changes) => {
    let configuration: Configuration = { voters: [1, 2], learners: [] };
    for (const change of changes) {
      const once = changed(configuration, change) ?? configuration;
      const twice = changed(once, change) ?? once;
      if (JSON.stringify(once) !== JSON.stringify(twice)) return false;
      configuration = once;
    }
    return true;
  }));
  t.pass();
});

function steps(): fc.Arbitrary<Change[]> {
  const kind = fc.constantFrom<Change["kind"]>("add-voter", "add-learner", "remove", "update");
  return fc.array(fc.record({ kind, id: fc.nat(6) }), { maxLength: 20 });
}
