import t from "tap";
import { Copy } from "../../src/store/copy.ts";
import { initCommand, joiner, OPEN_TOKEN, WALL_MS } from "../support/ledger.ts";

const stamp = { elapsedMs: 1, wallMs: WALL_MS };

function filled(): Copy {
  const copy = new Copy(undefined, []);
  copy.apply(1, 1, { stamp, command: initCommand() });
  copy.apply(2, 1, { stamp, command: OPEN_TOKEN });
  return copy;
}

t.test("the disk lacks what was not taken for it, once per record", async (t) => {
  const copy = filled();
  t.ok(copy.dirty);
  const renew = { kind: "lease.renew", node: "id0", subnets: ["10.5.1.0/24"] } as const;
  for (let index = 3; index < 9; index++) copy.apply(index, 1, { stamp, command: renew });
  const { changes, applied } = copy.takeUnwritten();
  const names = changes.map(({ table }) => table);
  t.equal(names.filter((table) => table === "deadline").length, 1);
  t.same([applied.index, applied.revision, applied.clockMs], [8, 2, 8]);
  t.notOk(copy.dirty);
  copy.pass(9, 2);
  t.ok(copy.dirty, "an entry that says nothing moves the applied index");
  t.same(copy.takeUnwritten().changes, []);
  t.equal(copy.applied().term, 2);
});

t.test("a copy can be made again from its records", async (t) => {
  const copy = filled();
  const again = new Copy(copy.applied(), copy.records());
  t.same(again.applied(), copy.applied());
  t.notOk(again.dirty);
  t.same(again.epoch, copy.epoch);
  again.apply(3, 1, { stamp, command: { kind: "node.join", tokenId: "open", node: joiner(1) } });
  copy.apply(3, 1, { stamp, command: { kind: "node.join", tokenId: "open", node: joiner(1) } });
  t.same(again.applied(), copy.applied());
});

t.test("what has piled up about one record is taken in its order", async (t) => {
  const [server, agent] = [filled(), new Copy(undefined, [])];
  const { revision } = server.feed.position;
  const records = [...server.state.records("revisioned")];
  const sums = { clockRecords: 0, clockDigest: "0000000000000000" };
  agent.replace({ ...server.applied(), ...sums, term: 0, index: revision }, records);
  t.equal(agent.digest, server.digest);
  const before = server.state.get("node", "id0")!;
  for (const [index, silent] of [[3, true], [4, false], [5, true]] as const) {
    server.apply(index, 1, { stamp, command: { kind: "node.silent", node: "id0", silent } });
  }
  const after = server.state.get("node", "id0")!;
  const middle = { ...before, modRevision: 4 };
  agent.take(5, [{ before, after: middle }, { before: middle, after }]);
  t.equal(agent.digest, server.digest);
  t.equal(agent.state.revision, 5);
});
