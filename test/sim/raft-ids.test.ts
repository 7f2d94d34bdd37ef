/** A raft id is good for one membership: stores that gave one up, with real nodes. */
import t from "tap";
import { theGroup } from "../../src/lease/state.ts";
import { copyOf } from "./disk.ts";
import { grow, reformOn } from "./grow.ts";
import type { Host } from "./host.ts";
import { aLeader, during, isolate, leaderOf, soon, type Stage } from "./stage.ts";

const MINUTE_MS = 60_000;

/** It holds the log, and has all of it. */
function isWhole(stage: Stage, host: Host): boolean {
  const leader = leaderOf(stage)?.node?.control;
  const own = host.node?.control;
  if (leader === undefined || own?.replica === undefined) return false;
  const { voters, learners } = theGroup(leader.cluster.view()!.state);
  return [...voters, ...learners].includes(own.replica.raftId) &&
    own.cluster.view()!.position.revision === leader.cluster.view()!.position.revision;
}

/** Out of the group, and a moment later back in it, as whoever leads sees fit. */
async function standDown(stage: Stage, host: Host): Promise<void> {
  const { errands } = (await aLeader(stage)).node!.control;
  await during(stage, errands.letGo(host.identity.nodeId, "stand-down"));
}

async function aFollower(stage: Stage, servers: readonly Host[]): Promise<Host> {
  const leader = await aLeader(stage);
  return servers.find((host) => host !== leader)!;
}

/** Its store is about to have the group without it, and its log still. */
function onLeaving(host: Host, then: () => void): void {
  const { raftId } = host;
  const left = (value: string) =>
    !value.includes(`"voters":[${raftId}`) && !value.includes(`,${raftId}`);
  host.disk.onWrite = (operations) => {
    const group = operations.find(({ key }) => key.includes("/group/"));
    if (group?.type === "put" && left(group.value.slice(9))) then();
  };
}

t.test("who died between leaving the group and giving up its log comes back", async (t) => {
  const { stage, servers } = await grow(31);
  const host = await aFollower(stage, servers);
  const { raftId } = host;
  onLeaving(host, () => host.kill());
  const out = standDown(stage, host);
  t.ok(await soon(stage, 20_000, () => !host.isUp), "it was killed");
  host.disk.onWrite = () => {};
  await out;
  t.equal(host.raftId, raftId, "its log is there");
  host.start();
  await stage.pass(5_000);
  host.kill();
  host.start();
  await stage.pass(5_000);
  t.equal(host.startError, undefined);
  t.equal(host.disk.asides.length, 0, "nothing was wrong with its store");
  t.ok(await soon(stage, MINUTE_MS, () => isWhole(stage, host)), "it holds the log again");
  t.ok(host.raftId! > raftId!);
});

t.test("whose disk fails as it leaves the group goes on without a log, in memory", async (t) => {
  const { stage, servers } = await grow(35);
  const host = await aFollower(stage, servers);
  const { control } = host.node!;
  control.cluster.onChange(() => {
    const { voters, learners } = theGroup(control.cluster.view()!.state);
    const isIn = [...voters, ...learners].includes(host.raftId!);
    if (!isIn) host.disk.mood.failWith = "EIO: i/o error";
  });
  const out = standDown(stage, host);
  t.ok(await soon(stage, 20_000, () => control.storeFailure !== undefined), "it says so");
  await out;
  await stage.pass(5_000);
  t.equal(control.replica, undefined);
  const said = stage.world.notes.filter((note) => note.includes("no longer holds the log"));
  t.equal(said.length, 1, "it leaves once");
  const revisionOf = ({ node }: Host) => node!.control.cluster.view()!.position.revision;
  const level = async () => revisionOf(host) === revisionOf(await aLeader(stage));
  t.ok(await level(), "and follows the others");
});

t.test("who had left the group in a past that was lost can come into it again", async (t) => {
  const { stage, servers } = await grow(32);
  const survivor = await aLeader(stage);
  const host = await aFollower(stage, servers);
  const older = copyOf(survivor.disk.content);
  await standDown(stage, host);
  await soon(stage, 10_000, () => host.node!.control.replica === undefined);
  t.equal(host.raftId, undefined);
  for (const other of servers) if (other !== host) other.kill();
  survivor.disk.content = older;
  await reformOn(survivor, 2);
  survivor.start();
  t.ok(await soon(stage, 4 * MINUTE_MS, () => isWhole(stage, host)), "it holds the log again");
});

t.test("who comes back into the group under another id holds the CA key", async (t) => {
  const { stage, servers } = await grow(33);
  const host = await aFollower(stage, servers);
  const { raftId } = host;
  isolate(stage, host);
  await standDown(stage, host);
  await stage.pass(26_000);
  stage.cluster.network.heal();
  t.ok(await soon(stage, MINUTE_MS, () => isWhole(stage, host)), "it holds the log again");
  t.ok(host.raftId! > raftId!);
  await stage.pass(5_000);
  t.ok(await host.offline.identity.readPem("caKey"), "and can sign");
});
