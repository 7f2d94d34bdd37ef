/** The drivers of the Cluster port that keep the state themselves, and a third one in memory. */
import t, { type Test } from "tap";
import { type BreakableRig, clusterContract, leaderlessContract } from "../contract/cluster.ts";
import { fastClock } from "../support/fast-clock.ts";
import { MemoryCluster } from "../support/memory-cluster.ts";
import { ReplicaCluster } from "../support/replica-cluster.ts";

async function inMemory(t: Test): Promise<BreakableRig> {
  const cluster = new MemoryCluster(fastClock(20));
  t.teardown(() => cluster[Symbol.asyncDispose]());
  return {
    cluster,
    loseLeader: () => cluster.loseLeader(),
    findLeader: () => cluster.findLeader(),
  };
}

async function follower(t: Test): Promise<BreakableRig> {
  const group = await ReplicaCluster.start(t, { servers: 3 });
  const follower = await group.follower();
  await group.converged();
  return {
    cluster: follower.replica,
    loseLeader: () => group.isolate(follower),
    findLeader: () => group.heal(),
  };
}

clusterContract(t, "in memory", inMemory);
leaderlessContract(t, "in memory", inMemory);

clusterContract(t, "one server", async (t) => {
  const group = await ReplicaCluster.start(t, { servers: 1 });
  return { cluster: group.server(1).replica };
});

clusterContract(t, "a follower of three", follower);
leaderlessContract(t, "a follower of three", follower);
