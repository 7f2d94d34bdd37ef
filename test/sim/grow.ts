import { systemClock } from "../../src/base/clock.ts";
import { theNetwork } from "../../src/lease/state.ts";
import { reform } from "../../src/replica/reform.ts";
import { createCa, type KeyPair } from "../../src/transport/pki.ts";
import { CLUSTER_ID, SimCluster } from "./cluster.ts";
import type { Host } from "./host.ts";
import { aLeader, during, type Stage } from "./stage.ts";
import { Workload } from "./workload.ts";
import { World } from "./world.ts";

let ca: Promise<KeyPair> | undefined;

/** Three servers and an agent, with real nodes on a virtual clock and leases that last a day. */
export async function grow(seed: number): Promise<{ stage: Stage; servers: Host[]; agent: Host }> {
  ca ??= createCa(CLUSTER_ID, systemClock());
  const world = new World(seed);
  const cluster = new SimCluster(world, await ca);
  const stage: Stage = {
    ...{ world, cluster, workload: new Workload(cluster) },
    pass: (durationMs) => world.pass(durationMs, () => {}),
    newHost: () => cluster.addHost(),
  };
  const founder = stage.newHost();
  await cluster.found(founder);
  founder.start();
  await stage.pass(1_000);
  const through = founder.node!.control.cluster;
  await during(stage, cluster.openDoor(through));
  const config = theNetwork(through.view()!.state)!.replace(
    /"LeaseTTL":"\d+s"/,
    '"LeaseTTL":"24h"',
  );
  await during(stage, through.propose({ kind: "network.set", config }));
  const others: Host[] = [];
  for (const role of ["server", "server", "agent"] as const) others.push(await add(stage, role));
  await stage.pass(25_000);
  const [second, third, agent] = others as [Host, Host, Host];
  return { stage, servers: [founder, second, third], agent };
}

/** A new host that has joined and runs. */
export async function add(
  stage: Stage,
  role: "server" | "agent",
  more: Parameters<Stage["cluster"]["join"]>[3] = {},
): Promise<Host> {
  const host = stage.newHost();
  const by = (await aLeader(stage)).node!.control.cluster;
  await during(stage, stage.cluster.join(host, role, by, more));
  host.start();
  await stage.pass(3_000);
  return host;
}

/** What `denim cluster recover` does, on a host whose daemon is down. */
export async function reformOn(host: Host, n: number): Promise<void> {
  await using store = await host.offline.openStore();
  await reform(store, { elapsedMs: 0, wallMs: Math.floor(host.wallMs) }, {
    kind: "cluster.reform",
    ...{ epoch: { n, random: `epoch${n}${host.name}` }, reason: "recover" },
    node: host.identity.nodeId,
  });
}
