import t from "tap";
import {
  Draft,
  leaseOf,
  nodeByName,
  nodeByRaftId,
  nodesWithLeases,
  State,
} from "../../src/lease/state.ts";
import { Ledger } from "../support/ledger.ts";

t.test("a draft answers as the state will, and leaves it alone", async (t) => {
  const { state } = Ledger.open();
  const draft = new Draft(state, { index: 9, clockMs: 5 });
  const node = state.get("node", "id0")!.body;
  draft.put("node", "id0", { ...node, name: "renamed" });
  draft.put("node", "id9", { ...node, name: "ninth", raftId: 9 });
  draft.delete("lease", "10.5.1.0/24");
  t.equal(nodeByName(draft, "host0"), undefined);
  t.equal(nodeByName(draft, "renamed")?.key, "id0");
  t.equal(nodeByRaftId(draft, 9)?.key, "id9");
  t.equal(leaseOf(draft, "id0"), undefined);
  t.same([...draft.all("node")].map(({ key }) => key), ["id0", "id9"]);
  t.equal(nodeByName(state, "host0")?.key, "id0");
  t.equal(leaseOf(state, "id0")?.key, "10.5.1.0/24");
  state.commit(9, draft.changes(), 5);
  t.equal(nodeByName(state, "host0"), undefined);
  t.equal(nodeByName(state, "ninth")?.modRevision, 9);
  t.equal(leaseOf(state, "id0"), undefined);
});

t.test("what is made and unmade in one draft never was", async (t) => {
  const draft = new Draft(new State(), { index: 1, clockMs: 0 });
  draft.put("tombstone", "id1", { name: "x", untilWallMs: 0 });
  draft.delete("tombstone", "id1");
  draft.delete("tombstone", "id2");
  t.same(draft.changes(), []);
});

t.test("a restored state answers the same questions", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  const records = [...ledger.state.records("revisioned"), ...ledger.state.records("clock")];
  const state = State.restore(records, ledger.state);
  t.equal(leaseOf(state, "id1")?.key, "10.5.2.0/24");
  t.equal(state.find("leaseByAddress", "192.168.0.1").length, 1);
  t.same([...state.terms("leaseBySize")], ["4/24"]);
  t.same([state.revision, state.clockMs], [ledger.state.revision, ledger.state.clockMs]);
  t.equal(state.nextDeadlineMs(), ledger.state.nextDeadlineMs());
});

t.test("nodes are listed by name, with their leases", async (t) => {
  const ledger = Ledger.open();
  ledger.join(2, { name: "b" });
  ledger.join(1, { name: "a" });
  ledger.do({ kind: "lease.release", node: "id2", subnets: ledger.subnetsOf(2) });
  t.same(
    nodesWithLeases(ledger.state).map(({ node, lease }) => [node.name, lease?.subnets.join()]),
    [["a", "10.5.3.0/24"], ["b", undefined], ["host0", "10.5.1.0/24"]],
  );
});

t.test("the lease clock never goes back", async (t) => {
  const state = new State();
  state.commit(1, [], 10);
  t.throws(() => state.commit(2, [], 9));
});
