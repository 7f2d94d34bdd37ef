import t from "tap";
import type { Command } from "../../src/lease/command.ts";
import { until } from "../support/fast-clock.ts";
import { joiner } from "../support/ledger.ts";
import { ReplicaCluster } from "../support/replica-cluster.ts";

const join = (n: number): Command => ({ kind: "node.join", tokenId: "open", node: joiner(n) });

t.test("a linearizable read sees what was acknowledged anywhere", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const [leader, follower] = [await group.leader(), await group.follower()];
  for (let n = 100; n < 110; n++) {
    await leader.replica.propose(join(n));
    const { state } = await follower.replica.read("linearizable");
    t.ok(state.get("node", `id${n}`), `host ${n}`);
  }
});

t.test("without a majority there is none, and the view grows old", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const leader = await group.leader();
  await until(
    "the leader has confirmed itself",
    () => leader.replica.view().leaderAgeMs !== undefined,
  );
  group.isolate(leader);
  const age = leader.replica.view().leaderAgeMs!;
  await t.rejects(leader.replica.read("linearizable", { timeoutMs: 3_000 }), {
    code: "NO_LEADER",
  });
  const view = leader.replica.view();
  t.ok(view.leaderAgeMs! > age + 1_500, `${age} then ${view.leaderAgeMs}`);
  t.equal(view.leaderNode, undefined);
  t.ok(view.state.get("node", "id0"));
  group.heal();
  await leader.replica.read("linearizable");
  t.ok(leader.replica.view().leaderAgeMs! < 1_500);
});

t.test("right after a start nobody stands behind the view", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const follower = await group.follower();
  await group.stop(follower);
  group.isolate(follower);
  await group.boot(follower);
  const view = await follower.replica.read("stale");
  t.equal(view.leaderAgeMs, undefined);
  t.ok(view.state.get("node", "id0"), "the state from its disk can be used");
  group.heal();
  await until("a leader is heard", () => follower.replica.view().leaderAgeMs !== undefined);
  t.ok(follower.replica.view().leaderNode);
});
