/** A cluster that goes on from one server's older state, with real nodes on a virtual clock. */
import t from "tap";
import { formatAddress } from "../../src/ip/address.ts";
import { formatPrefix } from "../../src/ip/prefix.ts";
import { theHold } from "../../src/lease/hold.ts";
import { copyOf } from "./disk.ts";
import { add, grow, reformOn } from "./grow.ts";
import type { Host } from "./host.ts";
import { during, soon } from "./stage.ts";

const epochOf = ({ node }: Host) => node?.control.cluster.view()?.position.epoch;
const standingOf = ({ node }: Host) => node!.standing();

function subnetOf(host: Host): string {
  const standing = standingOf(host);
  return standing.kind === "none" ? "none" : standing.holding.subnets.join();
}

/** Where the routes of a host lead, as its kernel has them. */
function routesOf({ kernel }: Host): Record<string, string> {
  return Object.fromEntries(
    kernel.routes.filter(({ via }) => via !== undefined)
      .map(({ destination, via }) => [formatPrefix(destination), formatAddress(via!)]),
  );
}

t.test("recovered from a disk that lacks the newest node: all keep what they have", async (t) => {
  const { stage, servers, agent } = await grow(1);
  const [survivor, ...dead] = servers as [Host, Host, Host];
  const older = copyOf(survivor.disk.content);
  const lost = await add(stage, "agent");
  const subnets = [survivor, agent, lost].map(subnetOf);
  const routes = routesOf(agent);
  t.equal(Object.keys(routes).length, 4);

  for (const host of servers) host.kill();
  survivor.disk.content = older;
  await reformOn(survivor, 2);
  survivor.start();
  await stage.pass(20_000);
  t.equal(epochOf(survivor)?.n, 2);
  t.equal(standingOf(survivor).kind, "held", "its own claim is granted at once");
  t.equal(epochOf(agent)?.n, 1, "its servers have a minute to come back");
  t.equal(standingOf(agent).kind, "held");

  await soon(stage, 90_000, () => [agent, lost].every((host) => epochOf(host)?.n === 2));
  await stage.pass(3_000);
  for (const host of [survivor, agent, lost]) {
    const standing = standingOf(host);
    t.same(
      [host.name, standing.kind, standing.kind === "held" && standing.holding.epoch.n],
      [host.name, "held", 2],
    );
  }
  t.same([survivor, agent, lost].map(subnetOf), subnets, "nobody is renumbered");
  t.same(routesOf(agent), routes, "and no route has gone or changed");
  t.equal(agent.node!.data.lastPass?.mode, "add-only");
  const { state } = survivor.node!.control.cluster.view()!;
  t.ok(state.get("node", lost.identity.nodeId), "the node that it had lost is known again");

  const newcomer = stage.newHost();
  const through = survivor.node!.control.cluster;
  await t.rejects(during(stage, stage.cluster.join(newcomer, "agent", through)), {
    code: "ON_HOLD",
    fix: /release-hold/,
  });

  dead[0]!.start();
  await stage.pass(10_000);
  t.equal(epochOf(dead[0]!)?.n, 1, "a server does not change its epoch by itself");
  t.equal(dead[0]!.node!.control.epochs.later?.n, 2, "and knows why nobody talks to it");

  const epoch = epochOf(survivor)!;
  await during(stage, through.propose({ kind: "cluster.release-hold", epoch, early: true }));
  await soon(stage, 10_000, () => agent.node!.data.lastPass?.mode === "full");
  t.same(routesOf(agent), routes);
  await during(stage, stage.cluster.join(newcomer, "agent", through));
});

t.test("who has lost its trust is fenced to the end of the hold, which the clock ends", async (t) => {
  const { stage, servers, agent } = await grow(2);
  const subnet = subnetOf(agent);
  for (const host of servers) host.kill();
  agent.reboot();
  await reformOn(servers[1]!, 2);
  servers[1]!.start();
  agent.start();
  await soon(stage, 90_000, () => epochOf(agent)?.n === 2);
  await stage.pass(5_000);
  const standing = standingOf(agent);
  t.ok(standing.kind === "fenced" && standing.error?.code === "ON_HOLD");
  t.equal(agent.subnetFile, undefined, "its containers wait");
  t.ok(Object.keys(routesOf(agent)).length > 0, "its peers' do not");
  // A day of ticks would take long: the state is told that it has passed.
  const { cluster } = servers[1]!.node!.control;
  await during(
    stage,
    cluster.propose({ kind: "cluster.release-hold", epoch: epochOf(agent)!, early: true }),
  );
  await soon(stage, 5_000, () => standingOf(agent).kind === "held");
  t.same([standingOf(agent).kind, subnetOf(agent)], ["held", subnet]);
  t.ok(agent.subnetFile !== undefined);
});

t.test("two recoveries apart: whoever meets both puts both on hold", async (t) => {
  const { stage, servers, agent } = await grow(3);
  for (const host of servers) host.kill();
  await reformOn(servers[0]!, 2);
  await reformOn(servers[1]!, 2);
  servers[0]!.start();
  await soon(stage, 90_000, () => epochOf(agent)?.n === 2);
  await stage.pass(3_000);
  t.same(epochOf(agent), epochOf(servers[0]!));
  const holdOf = ({ node }: Host) => {
    const view = node?.control.cluster.view();
    return view && theHold(view.state);
  };
  const { cluster } = servers[0]!.node!.control;
  await during(
    stage,
    cluster.propose({ kind: "cluster.release-hold", epoch: epochOf(agent)!, early: true }),
  );
  servers[1]!.start();
  await stage.pass(5_000);
  servers[0]!.kill();
  await soon(stage, 60_000, () => agent.node!.control.epochs.fork !== undefined);
  await stage.pass(5_000);
  t.same(holdOf(servers[1]!)?.fork, epochOf(agent), "the other one has met the agent");
  t.equal(epochOf(agent)?.random, `epoch2${servers[0]!.name}`, "which stays where it is");
  servers[0]!.start();
  await soon(stage, 60_000, () => holdOf(servers[0]!) !== undefined);
  t.same(holdOf(servers[0]!)?.fork, epochOf(servers[1]!), "its own has been told");
  t.equal(standingOf(agent).kind, "held", "and goes on with the leases that it gave");
});
