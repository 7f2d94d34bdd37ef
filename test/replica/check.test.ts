/** Replicas that compare their states, and what becomes of one that differs. */
import t, { type Test } from "tap";
import type { Command } from "../../src/lease/command.ts";
import { Store } from "../../src/store/store.ts";
import { until } from "../support/fast-clock.ts";
import { joiner } from "../support/ledger.ts";
import { ReplicaCluster, type Server } from "../support/replica-cluster.ts";

const join = (n: number): Command => ({ kind: "node.join", tokenId: "open", node: joiner(n) });

/** As a leader does every few minutes. */
async function check(group: ReplicaCluster): Promise<void> {
  const { replica, copy } = await group.leader();
  await replica.proposeHere({ kind: "check", ...copy.checkpoint });
}

async function three(t: Test): Promise<{ group: ReplicaCluster; follower: Server }> {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const follower = await group.follower();
  await group.converged();
  return { group, follower };
}

/** Whatever did it: one record is another one than its entries made it. */
function change(server: Server): void {
  const before = server.copy.state.get("node", "id0")!;
  const after = { ...before, body: { ...before.body, name: "wrong" } };
  const { index } = server.copy;
  server.copy.take(server.copy.state.revision, [{ before, after }]);
  server.copy.pass(index, server.replica.status().term);
}

t.test("equal states pass every check, also one that a restart has forgotten", async (t) => {
  const { group, follower } = await three(t);
  await check(group);
  await group.server(1).replica.propose(join(100));
  await group.restart(follower);
  await check(group);
  await check(group);
  await group.converged();
  t.same(group.all.map(({ failure }) => failure), [undefined, undefined, undefined]);
  const points = group.all.map(({ copy }) => JSON.stringify(copy.checkpoint));
  t.equal(new Set(points).size, 1);
  t.ok(group.server(1).copy.checkpoint.index > 0);
});

t.test("a replica that differs stops at the second check, for good", async (t) => {
  const { group, follower } = await three(t);
  change(follower);
  await check(group);
  t.equal(follower.failure, undefined);
  await check(group);
  await until("it has stopped", () => follower.failure !== undefined);
  t.equal(follower.failure?.code, "STORE_DAMAGED");
  t.match(follower.failure?.why ?? "", /its state is not the leader's/);
  t.ok(follower.log.lines.some((line) => /^error .*the replica has stopped/.test(line)));
  await t.rejects(follower.replica.read("linearizable"), { code: "STORE_DAMAGED" });
  await (await group.leader(group.up.filter((server) => server !== follower)))
    .replica.propose(join(100));
  t.notOk(follower.hasNode(100), "it takes in nothing more");

  follower.up = false;
  await follower.replica[Symbol.asyncDispose]();
  await follower.store[Symbol.asyncDispose]();
  await t.rejects(Store.open(follower.folder), { code: "STORE_DAMAGED" }, "nor after a restart");
});
