import t from "tap";
import { seededRandom } from "../../src/base/random.ts";
import type { Command } from "../../src/lease/command.ts";
import type { Raft } from "../../src/raft/mod.ts";
import { Reads } from "../../src/replica/reads.ts";
import { FakeClock } from "../support/clock.ts";
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

/** The part of the core that takes a question; it has no leader while `kind` says so. */
function asking(kind: "accepted" | "no-leader") {
  const contexts: string[] = [];
  const readIndex = (context: string) => {
    contexts.push(context);
    return { kind };
  };
  return { contexts, core: { readIndex } as unknown as Raft };
}

t.test("a confirmed read waits for the state to get there, and is as old as its question", async (t) => {
  const clock = new FakeClock(1_000);
  const { contexts, core } = asking("accepted");
  const reads = new Reads(core, { clock, random: seededRandom(1) });
  const told: string[] = [];
  reads.ask((confirmed) => told.push(`first ${confirmed}`));
  reads.ask((confirmed) => told.push(`with it ${confirmed}`));
  reads.attempt();
  reads.ask((confirmed) => told.push(`later ${confirmed}`));
  reads.attempt();
  t.equal(contexts.length, 2, "one attempt for all who asked before it");
  t.not(contexts[0], contexts[1], "each attempt has a name of its own");
  await clock.advance(500);
  reads.settle([{ context: contexts[0]!, index: 7 }, { context: "another's", index: 1 }], 6);
  t.same([told, reads.confirmedMs], [[], undefined]);
  reads.settle([], 7);
  t.same([told, reads.confirmedMs], [["first true", "with it true"], 1_000]);
  reads.settle([{ context: contexts[0]!, index: 7 }], 9);
  t.equal(told.length, 2, "an answer that comes twice");
  reads.giveUp();
  t.same(told.slice(2), ["later false"]);
});

t.test("where nobody leads, nobody is kept waiting", async (t) => {
  const { core } = asking("no-leader");
  const reads = new Reads(core, { clock: new FakeClock(), random: seededRandom(1) });
  const told: boolean[] = [];
  reads.ask((confirmed) => told.push(confirmed));
  reads.attempt();
  t.same(told, [false]);
  t.notOk(reads.waiting);
});
