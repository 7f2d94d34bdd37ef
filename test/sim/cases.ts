/**
 * Scenarios that chance would rarely meet: for each rule that keeps a subnet from being held twice,
 * or a living route from being deleted, the situation that it was made for. The observers judge.
 */
import { isDenimError } from "../../src/base/errors.ts";
import type { Joiner } from "../../src/lease/command.ts";
import { leaseOf, theNetwork } from "../../src/lease/state.ts";
import { reform } from "../../src/replica/reform.ts";
import { copyOf } from "./disk.ts";
import type { Host } from "./host.ts";
import { trustedBy } from "./lease-oracle.ts";
import { aLeader, during, isolate, leaderOf, soon, type Stage } from "./stage.ts";
import { demand } from "./violation.ts";
import { clusterOf, REGISTERS } from "./workload.ts";

type Scenario = (stage: Stage) => Promise<void>;

/** An agent's lease ends while it is cut off; it comes back, and takes the same one up. */
async function partitionPastTtl(stage: Stage): Promise<void> {
  const agent = await joined(stage, "agent");
  const held = subnetOf(agent);
  isolate(stage, agent);
  await stage.pass(ttlMs(stage) * 1.5 + stage.world.between(0, 40_000));
  demand(trustedBy(agent) === undefined, "trust ends before the lease", () => agent.name);
  stage.cluster.network.heal();
  await soon(stage, 30_000, () => agent.node!.standing().kind === "held");
  demand(subnetOf(agent) === held, "nobody is renumbered", () => agent.name);
}

/** A renewal that was held up for long comes in while the leader's decision is on its way. */
async function expiryRace(stage: Stage): Promise<void> {
  const agents = [await joined(stage, "agent"), await joined(stage, "agent")];
  const { network } = stage.cluster;
  for (let round = 0; round < 4; round++) {
    for (const agent of agents) isolate(stage, agent);
    await stage.pass(ttlMs(stage) / 2);
    await renewAtTheEnd(stage, stage.world.pick(agents)!);
    network.heal();
    await stage.pass(20_000);
  }
}

async function renewAtTheEnd(stage: Stage, agent: Host): Promise<void> {
  const leader = await aLeader(stage);
  // The lease clock stands at the last entry.
  write(leader, 0);
  await stage.pass(100);
  const { state } = clusterOf(leader)!.view()!;
  const lease = leaseOf(state, agent.identity.nodeId);
  if (lease === undefined) return;
  const leftMs = state.get("deadline", lease.key)!.body.deadlineMs - state.clockMs;
  await stage.pass(Math.max(0, leftMs - stage.world.between(150, 350)));
  const { node, subnets, ...attributes } = lease.body;
  Object.assign(stage.cluster.network.mood, { leastMs: 150, meanMs: 20 });
  const answer = clusterOf(leader)!.propose({ kind: "lease.renew", node, subnets, attributes })
    .then(() => true, () => false);
  const isRenewed = await during(stage, answer);
  await stage.pass(1_000);
  Object.assign(stage.cluster.network.mood, { leastMs: 0.1, meanMs: 0.3 });
  const now = clusterOf(leader)?.view()?.state;
  demand(
    !isRenewed || now === undefined || leaseOf(now, node) !== undefined,
    "a lease that was renewed goes on",
    () => `${lease.key} of ${agent.name}`,
  );
}

/** The pool is full; a node is removed that cannot hear of it; a new host wants a subnet. */
async function forcedRemoval(stage: Stage): Promise<void> {
  const agent = await joined(stage, "agent");
  await fillPool(stage);
  isolate(stage, agent);
  await stage.pass(stage.world.between(0, ttlMs(stage) / 2));
  const leader = await aLeader(stage);
  await during(stage, leader.node!.control.errands.letGo(agent.identity.nodeId, "remove"));
  await insistOnJoining(stage, 30_000);
}

/** A node leaves, and does not hear that it has left. */
async function farewellUnheard(stage: Stage): Promise<void> {
  const agent = await joined(stage, "agent");
  await fillPool(stage);
  agent.isLeaving = true;
  void agent.node!.leave().catch(() => {});
  await stage.pass(stage.world.between(0.1, 2));
  isolate(stage, agent);
  await stage.pass(2_000);
  await insistOnJoining(stage, 10_000);
}

/** After a power cut nothing is known of time: what was held must be confirmed first. */
async function deadClockAtBoot(stage: Stage): Promise<void> {
  const agent = await joined(stage, "agent");
  agent.reboot();
  agent.setWall(-stage.world.between(0, 3_600_000));
  isolate(stage, agent);
  agent.start();
  await stage.pass(8_000);
  demand(trustedBy(agent) === undefined, "a boot ends all trust", () => agent.name);
  demand(agent.subnetFile === undefined, "containers wait for it", () => agent.name);
}

/** The TTL is shortened while a holder cannot hear of it. */
async function shorterTtl(stage: Stage): Promise<void> {
  const agent = await joined(stage, "agent");
  await fillPool(stage);
  isolate(stage, agent);
  const cluster = clusterOf(await aLeader(stage))!;
  const config = theNetwork(cluster.view()!.state)!.replace(/"LeaseTTL":"\d+s"/, '"LeaseTTL":"5s"');
  await during(stage, cluster.propose({ kind: "network.set", config }));
  await insistOnJoining(stage, ttlMs(stage));
}

/** A daemon starts with a cache from before the newest peer, whose route its kernel has. */
async function staleCache(stage: Stage): Promise<void> {
  const agent = await joined(stage, "agent");
  await stage.pass(stage.world.between(0, 1_500));
  await joined(stage, "agent", 5);
  agent.kill();
  isolate(stage, agent);
  await stage.pass(500);
  agent.start();
  await stage.pass(stage.world.between(2_000, 20_000));
}

/** A disk was copied: two processes speak as one node. */
async function clonedDisk(stage: Stage): Promise<void> {
  const agent = await joined(stage, "agent");
  agent.wasCloned = true;
  const copy = stage.newHost();
  copy.disk.content = copyOf(agent.disk.content);
  copy.identity = agent.identity;
  copy.isClone = true;
  copy.start();
  await stage.pass(stage.world.between(2_000, 8_000));
  if (stage.world.chance(0.5)) {
    agent.kill();
    agent.start();
  }
  await stage.pass(8_000);
}

/** The leader promotes a standby and dies before the standby has heard of it. */
async function unheardPromotion(stage: Stage): Promise<void> {
  const leader = await aLeader(stage);
  const { voters, learners } = leader.node!.control.replica!.status().configuration;
  const standby = stage.cluster.up.find(({ node }) =>
    learners.includes(node!.control.replica?.raftId ?? 0)
  );
  if (standby === undefined || voters.length < 3) return;
  const raftId = standby.node!.control.replica!.raftId;
  stage.cluster.network.cut(leader.name, standby.name);
  const change = leader.node!.control.replica!.changeGroup({ kind: "add-voter", id: raftId });
  await during(stage, change).catch(() => {});
  // The other voters have to hear that it is committed.
  await stage.pass(300);
  leader.staysDown = true;
  // What it had sent and nobody has taken is gone with it.
  leader.reboot();
  stage.cluster.network.heal();
}

/** A leader that is cut off takes in what will never be committed, more than it can be told later. */
async function lonelyLeader(stage: Stage): Promise<void> {
  const old = await aLeader(stage);
  const others = stage.cluster.up.filter((host) => host !== old);
  const [writes, later] = [stage.world.random.below(400), stage.world.random.below(120)];
  isolate(stage, old);
  for (let n = 0; n < writes; n++) write(old, n);
  await stage.pass(3_000);
  const next = leaderOf(stage);
  if (next === undefined) return;
  if (stage.world.chance(0.5)) {
    // Then the leader that it meets has a log that ends in a term it has not heard of.
    next.kill();
    await stage.pass(200);
    next.start();
    await stage.pass(3_000);
  }
  for (let n = 0; n < later; n++) {
    write(stage.world.pick(others)!, n);
    await stage.pass(20);
  }
  if (stage.world.chance(0.3)) old.kill();
  stage.cluster.network.heal();
  old.start();
  await stage.pass(3_000);
  old.kill();
  await stage.pass(1_000);
  old.start();
}

/** Answers to questions are under way for long, and others are asked and written meanwhile. */
async function lateReadAnswers(stage: Stage): Promise<void> {
  const { world, cluster: { network } } = stage;
  const leader = await aLeader(stage);
  const followers = stage.cluster.up.filter((host) =>
    host !== leader && host.node?.control.replica
  );
  const follower = world.pick(followers);
  if (follower === undefined) return;
  Object.assign(network.mood, { leastMs: 20, meanMs: world.between(60, 200) });
  const through = clusterOf(leader)!;
  let acknowledged = 0;
  let stale: string | undefined;
  for (let n = 0; n < 120; n++) {
    const command = { kind: "reservation.put", subnet: `10.244.${n % 8}.0/24` } as const;
    through.propose(command, { timeoutMs: 3_000 }).then(() => {
      acknowledged = Math.max(acknowledged, through.view()!.position.revision);
    }, () => {});
    const least = acknowledged;
    clusterOf(follower)?.read("linearizable").then(({ position: { revision } }) => {
      if (revision < least) stale ??= `${follower.name} saw ${revision} after ${least}`;
    }, () => {});
    await stage.pass(world.between(5, 60));
  }
  await stage.pass(3_000);
  Object.assign(network.mood, { leastMs: 0.1, meanMs: 0.3 });
  demand(stale === undefined, "a read has seen what was acknowledged", () => stale!);
}

/** Two who both believe that they should change the group, whose disks are slow, and who die. */
async function impatientOperators(stage: Stage): Promise<void> {
  const meanMs = stage.world.chance(0.6) ? stage.world.between(200, 1_500) : 0.5;
  for (const { disk } of stage.cluster.hosts) disk.mood.meanMs = meanMs;
  for (let round = 0; round < 6; round++) {
    const replica = leaderOf(stage)?.node?.control.replica;
    const { voters = [], learners = [] } = replica?.status().configuration ?? {};
    const [a, b] = [stage.world.pick(learners), voters.find((id) => id !== replica!.raftId)];
    if (a !== undefined) void replica!.changeGroup({ kind: "add-voter", id: a }).catch(() => {});
    if (b !== undefined) void replica!.changeGroup({ kind: "add-learner", id: b }).catch(() => {});
    await stage.pass(stage.world.between(0, 1_500));
    if (stage.world.chance(0.5)) leaderOf(stage)?.kill();
    await stage.pass(stage.world.between(0, 4_000));
    for (const host of stage.cluster.hosts) host.start();
  }
}

/**
 * A majority is lost for good, and the cluster goes on from the older disk of one server, which
 * does not know the newest node. Someone new wants a subnet; someone known has lost its trust.
 */
async function reformedCluster(stage: Stage): Promise<void> {
  const survivor = await aLeader(stage);
  const known = await joined(stage, "agent", 1_500);
  const older = copyOf(survivor.disk.content);
  const newest = await joined(stage, "agent", 0);
  for (const host of stage.cluster.up.filter(({ identity }) => identity.canServe)) {
    host.kill();
    host.staysDown = host !== survivor;
  }
  survivor.disk.content = older;
  await reformOn(survivor);
  if (stage.world.chance(0.7)) {
    known.reboot();
    known.start();
  }
  isolate(stage, newest);
  survivor.start();
  await aLeader(stage);
  await insistOnJoining(stage, 20_000);
  stage.cluster.network.heal();
  await stage.pass(60_000);
  // Whoever lost its trust waits for a day, or for an operator who knows that nobody else is there.
  const cluster = clusterOf(await aLeader(stage))!;
  const { epoch } = cluster.view()!.position;
  await during(stage, cluster.propose({ kind: "cluster.release-hold", epoch, early: true }));
}

/** What an operator does on a host whose daemon is down. */
async function reformOn(host: Host): Promise<void> {
  await using store = await host.offline.openStore();
  await reform(store, { elapsedMs: 0, wallMs: Math.floor(host.wallMs) }, {
    kind: "cluster.reform",
    ...{ epoch: { n: 2, random: "0123456789abcdef" }, reason: "recover" },
    node: host.identity.nodeId,
  });
}

export const CASES: Readonly<Record<string, Scenario>> = {
  partitionPastTtl,
  expiryRace,
  forcedRemoval,
  farewellUnheard,
  deadClockAtBoot,
  shorterTtl,
  staleCache,
  clonedDisk,
  unheardPromotion,
  lonelyLeader,
  lateReadAnswers,
  impatientOperators,
  reformedCluster,
};

function write(host: Host, n: number): void {
  const command = { kind: "token.revoke", tokenId: `none${n}` } as const;
  void clusterOf(host)?.propose(command, { timeoutMs: 3_000 }).catch(() => {});
}

/** A new host, in the cluster and running. */
async function joined(
  stage: Stage,
  role: Joiner["role"],
  settleMs = 2_000,
): Promise<Host> {
  const host = stage.newHost();
  const by = await aLeader(stage);
  await during(stage, stage.cluster.join(host, role, clusterOf(by)!));
  host.start();
  await soon(stage, 10_000, () => host.node?.standing().kind === "held");
  await stage.pass(settleMs);
  return host;
}

/** Reserves every subnet that nobody has. */
async function fillPool(stage: Stage): Promise<void> {
  const cluster = clusterOf(await aLeader(stage))!;
  for (let n = 0; n < 256; n++) {
    if (REGISTERS.includes(`10.244.${n}.0/24`)) continue;
    const command = { kind: "reservation.put", subnet: `10.244.${n}.0/24` } as const;
    try {
      await during(stage, cluster.propose(command));
    } catch (error) {
      // Outside the pool, or leased.
      if (isDenimError(error, "CONFIG_INVALID")) return;
    }
  }
}

/** A host that wants to be in, and asks again and again. */
async function insistOnJoining(stage: Stage, durationMs: number): Promise<void> {
  const endMs = stage.world.nowMs + durationMs;
  const host = stage.newHost();
  while (stage.world.nowMs < endMs) {
    const by = leaderOf(stage);
    if (by === undefined) return;
    try {
      await during(stage, stage.cluster.join(host, "agent", clusterOf(by)!));
      host.start();
      return await stage.pass(2_000);
    } catch (error) {
      if (!isDenimError(error, "POOL_EXHAUSTED", "ON_HOLD")) throw error;
      await stage.pass(2_000);
    }
  }
}

function subnetOf(host: Host): string | undefined {
  const standing = host.node?.standing();
  return standing === undefined || standing.kind === "none"
    ? undefined
    : standing.holding.subnets[0];
}

function ttlMs(stage: Stage): number {
  return stage.cluster.leaseTtlMs;
}
