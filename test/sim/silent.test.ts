/** What hosts do about one that nobody hears, with real nodes on a virtual clock. */
import t from "tap";
import { leaseOf, theNetwork } from "../../src/lease/state.ts";
import { ROUTE_PROTOCOL } from "../../src/plan/kernel.ts";
import { formatWanted } from "../../src/plan/text.ts";
import { add, grow } from "./grow.ts";
import type { Host } from "./host.ts";
import { aLeader, during, isolate, type Stage } from "./stage.ts";

/** Longer than a node has to be unheard, and than a new leader listens. */
const SILENT_MS = 45_000;

/** The cluster of `grow` with that in its network config. */
async function growWith(seed: number, silentPeer: string) {
  const grown = await grow(seed);
  const { cluster } = (await aLeader(grown.stage)).node!.control;
  const network = JSON.parse(theNetwork(cluster.view()!.state)!) as object;
  const config = JSON.stringify({ ...network, SilentPeer: silentPeer });
  await during(grown.stage, cluster.propose({ kind: "network.set", config }));
  await grown.stage.pass(3_000);
  return grown;
}

/** How a host routes to another one's containers. */
async function routeTo(stage: Stage, host: Host, other: Host): Promise<string> {
  const { state } = (await aLeader(stage)).node!.control.cluster.view()!;
  const subnet = leaseOf(state, other.identity.nodeId)!.key;
  const ours = host.kernel.routes.filter(({ protocol }) => protocol === ROUTE_PROTOCOL)
    .map(formatWanted);
  return ours.find((line) => line.includes(subnet)) ?? "none";
}

t.test("a silent peer is unreachable where the network config says so, until it is heard", async (t) => {
  const { stage, servers, agent } = await growWith(1, "unreachable");
  const before = await routeTo(stage, servers[0]!, agent);
  t.match(before, /via 10\.0\.0\.4 dev eth0/);
  agent.kill();
  await stage.pass(5_000);
  t.equal(await routeTo(stage, servers[0]!, agent), before, "a restart takes less");
  await stage.pass(SILENT_MS);
  for (const server of servers) t.match(await routeTo(stage, server, agent), /^unreachable /);
  agent.start();
  await stage.pass(8_000);
  for (const server of servers) t.equal(await routeTo(stage, server, agent), before);
  t.match(await routeTo(stage, agent, servers[0]!), /via 10\.0\.0\.1/);
});

t.test("by default the route stays", async (t) => {
  const { stage, servers, agent } = await growWith(2, "keep");
  agent.kill();
  await stage.pass(SILENT_MS);
  const { state } = (await aLeader(stage)).node!.control.cluster.view()!;
  t.equal(state.get("node", agent.identity.nodeId)?.body.silent, true);
  t.match(await routeTo(stage, servers[0]!, agent), /via 10\.0\.0\.4/);
});

t.test("where many fall silent at once no route changes", async (t) => {
  const { stage, servers, agent } = await growWith(3, "unreachable");
  const agents = [agent, await add(stage, "agent"), await add(stage, "agent")];
  await stage.pass(SILENT_MS);
  for (const gone of agents) isolate(stage, gone);
  await stage.pass(SILENT_MS);
  for (const gone of agents) t.match(await routeTo(stage, servers[0]!, gone), /via /);
  const leader = await aLeader(stage);
  t.ok(leader.node!.control.alarm, "and the leader says so");
});
