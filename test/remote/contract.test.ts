/** An agent's driver of the Cluster port, over TLS on loopback, to a server of the real kind. */
import t, { type Test } from "tap";
import { type BreakableRig, clusterContract, leaderlessContract } from "../contract/cluster.ts";
import { fastClock, until } from "../support/fast-clock.ts";
import { MemoryCluster } from "../support/memory-cluster.ts";
import { testCluster } from "../support/pki.ts";
import { openServer, TestAgent } from "../support/remote-rig.ts";

const pki = await testCluster();

async function open(t: Test): Promise<BreakableRig> {
  const clock = fastClock(10);
  const memory = new MemoryCluster(clock);
  const server = await openServer(t, pki, memory, clock);
  const agent = new TestAgent(t, clock);
  agent.servers = [server.address];
  await agent.start(t, pki);
  await until(
    "it has a copy",
    () => agent.hasNode(0) && agent.remote.view().leaderNode !== undefined,
  );
  return {
    cluster: agent.remote,
    loseLeader: () => memory.loseLeader(),
    findLeader: () => memory.findLeader(),
  };
}

clusterContract(t, "an agent", open);
leaderlessContract(t, "an agent", open);
