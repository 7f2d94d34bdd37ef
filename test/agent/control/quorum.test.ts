import t from "tap";
import { quorumOf, wayOut, withoutLeader } from "../../../src/agent/control/quorum.ts";
import { SINGLE } from "../../../src/lease/records.ts";
import { Draft, State } from "../../../src/lease/state.ts";

/** A state whose voters are web1 and so on. */
function voting(count: number): State {
  const state = new State();
  const draft = new Draft(state, { index: 1, clockMs: 0 });
  const ids = Array.from({ length: count }, (_, at) => at + 1);
  for (const raftId of ids) {
    draft.put("node", `id${raftId}`, {
      ...{ name: `web${raftId}`, role: "server", raftId, address: "a:1", csrKey: `${raftId}` },
      ...{ version: "0", features: { min: 1, max: 1 }, joinedWallMs: 0, certificateEndsWallMs: 0 },
    });
  }
  draft.put("group", SINGLE, { voters: ids, learners: [] });
  state.commit(1, draft.changes(), 0);
  return state;
}

t.test("it is said who is missing, and how many of them it takes", async (t) => {
  const cases: readonly (readonly [number, readonly number[], string | undefined])[] = [
    [3, [2], "start web1 or web3 - or, if both are gone for good"],
    [3, [], "start 2 of web1, web2 and web3 - or, if they are gone for good"],
    [1, [], "start web1 - or, if it is gone for good"],
    [2, [1], "start web2 - or, if it is gone for good"],
    [5, [1, 5], "start web2, web3 or web4 - or, if they are gone for good"],
    [5, [1], "start 2 of web2, web3, web4 and web5 - or, if they are gone for good"],
    [3, [1, 2], undefined],
    [0, [], undefined],
  ];
  for (const [count, there, wanted] of cases) {
    const isThere = (node: string) => there.some((raftId) => node === `id${raftId}`);
    const [here, elsewhere] = [true, false].map((holdsLog) =>
      wayOut(quorumOf(voting(count), isThere, holdsLog))
    );
    t.equal(here, wanted && `${wanted}: denim cluster recover`);
    t.equal(elsewhere, wanted && `${wanted}, on a server that is left: denim cluster recover`);
  }
});

t.test("whoever wants to change something hears the same", async (t) => {
  const error = withoutLeader(quorumOf(voting(3), (node) => node === "id1", true));
  t.equal(error.code, "NO_LEADER");
  t.match(error.message, /: 1 of 3 voters reachable \(need 2\)$/);
  t.match(error.fix!, /^start web2 or web3 - .*denim cluster recover$/);
  const electing = withoutLeader(quorumOf(voting(3), () => true, true));
  t.match(electing.fix!, /try again in a moment/);
});
