/** Who votes, who is put out and who goes by itself, with real nodes on a virtual clock. */
import t from "tap";
import { preferNode, removeNode } from "../../src/agent/leading/membership.ts";
import { leaseOf, theGroup } from "../../src/lease/state.ts";
import { add, grow } from "./grow.ts";
import type { Host } from "./host.ts";
import { aLeader, during, soon, type Stage } from "./stage.ts";

const MINUTE_MS = 60_000;

const idOf = (host: Host) => host.identity.nodeId;

async function leaders(stage: Stage) {
  const leader = await aLeader(stage);
  const node = leader.node!;
  return { leader, node, state: node.control.cluster.view()!.state };
}

/** The names of those who vote. */
async function voters(stage: Stage): Promise<string[]> {
  const { state } = await leaders(stage);
  const names = [...state.all("node")]
    .filter(({ body }) => theGroup(state).voters.includes(body.raftId ?? 0))
    .map(({ body }) => body.name);
  return names.sort();
}

async function prefer(stage: Stage, host: Host, preferred: "voter" | "standby" | null) {
  const { leader, node } = await leaders(stage);
  return await during(stage, preferNode(node, leader.process!.clock, idOf(host), preferred));
}

t.test("a voter that is gone for a minute is replaced, and comes back as a standby", async (t) => {
  const { stage, servers } = await grow(21);
  const spare = await add(stage, "server");
  await stage.pass(5_000);
  t.same(await voters(stage), ["h1", "h2", "h3"]);
  const gone = servers.find((host) => host.node!.control.replica?.leads !== true)!;
  gone.kill();
  await stage.pass(50_000);
  t.same(await voters(stage), ["h1", "h2", "h3"], "not yet");
  await stage.pass(20_000);
  const now = await voters(stage);
  t.same([now.length, now.includes(spare.name), now.includes(gone.name)], [3, true, false]);
  gone.start();
  await stage.pass(2 * MINUTE_MS);
  t.same(await voters(stage), now, "nobody is thrown out for one who was away");
});

t.test("a role that was chosen by hand stays", async (t) => {
  const { stage } = await grow(22);
  const spare = await add(stage, "server");
  await stage.pass(5_000);
  const promoted = await prefer(stage, spare, "voter");
  t.same([promoted.preferred, promoted.role], ["voter", "voter"]);
  await stage.pass(MINUTE_MS);
  const now = await voters(stage);
  t.same([now.length, now.includes(spare.name)], [3, true]);
  const { leader } = await leaders(stage);
  const demoted = await prefer(stage, leader, "standby");
  t.equal(demoted.role, "standby", "also of one that led");
  await stage.pass(MINUTE_MS);
  t.notOk((await voters(stage)).includes(leader.name));
  await t.rejects(prefer(stage, spare, "standby"), { code: "ROLE_REFUSED" });
  t.equal((await prefer(stage, spare, null)).preferred, null);
});

t.test("the CA key is on voters and standbys, and goes when a server goes out of the group", async (t) => {
  const { stage, servers, agent } = await grow(28);
  const spares = [await add(stage, "server"), await add(stage, "server")];
  const last = await add(stage, "server");
  await stage.pass(20_000);
  const hosts = [...servers, ...spares, last, agent];
  /** The names of those that hold the log, and of those that hold the key. */
  const held = async () => {
    const { state } = await leaders(stage);
    const { voters, learners } = theGroup(state);
    const members = hosts.filter((host) =>
      [...voters, ...learners].includes(state.get("node", idOf(host))!.body.raftId ?? 0)
    );
    const keys: Host[] = [];
    for (const host of hosts) {
      if (await host.offline.identity.readPem("caKey") !== undefined) keys.push(host);
    }
    return [members, keys].map((list) => list.map(({ name }) => name).sort());
  };
  const [members, keys] = await held();
  t.equal(members!.length, 5);
  t.same(keys, members);
  t.notOk(members!.includes(last.name));
  await prefer(stage, last, "voter");
  await stage.pass(MINUTE_MS);
  const [after, keysAfter] = await held();
  t.same([after!.length, after!.includes(last.name)], [5, true], "one is out, in its place");
  t.same(keysAfter, after, "and has no key any more");
});

t.test("a standby of a new zone takes the place of one of two in the same", async (t) => {
  const { stage, servers } = await grow(23);
  const { node } = await leaders(stage);
  const zones = ["a", "a", "b"];
  for (const [i, host] of servers.entries()) {
    const update = { kind: "node.update", node: idOf(host), zone: zones[i]! } as const;
    await during(stage, node.control.cluster.propose(update));
  }
  const spare = await add(stage, "server", { zone: "c" });
  await stage.pass(2 * MINUTE_MS);
  const now = await voters(stage);
  t.same([now.length, now.includes(spare.name), now.includes("h3")], [3, true, true]);
});

t.test("who is there is not put out by mistake, and who is gone is", async (t) => {
  const { stage, agent } = await grow(24);
  const { node } = await leaders(stage);
  await t.rejects(during(stage, removeNode(node, idOf(agent), false)), {
    code: "NODE_ALIVE",
    fix: /denim node rm h4 --force/,
  });
  await t.rejects(removeNode(node, node.record.nodeId, true), { code: "USAGE" });
  agent.kill();
  await stage.pass(5_000);
  t.same(await during(stage, removeNode(node, idOf(agent), false)), {
    ...{ id: idOf(agent), name: "h4", wasServer: false },
  });
  const { state } = await leaders(stage);
  t.equal(state.get("node", idOf(agent)), undefined);
});

t.test("a server that lives is put out by force, and its subnet waits", async (t) => {
  const { stage, servers } = await grow(25);
  const { leader, node, state } = await leaders(stage);
  const other = servers.find((host) => host !== leader)!;
  const lease = leaseOf(state, idOf(other))!;
  const { deadlineMs } = state.get("deadline", lease.key)!.body;
  t.equal((await during(stage, removeNode(node, idOf(other), true))).wasServer, true);
  const freed = (await leaders(stage)).state.get("freed", lease.key)!.body;
  t.equal(freed.how, "removed");
  t.ok(freed.quarantineEndsMs > deadlineMs, "until its holder cannot believe in it any more");
});

t.test("an ephemeral node is gone ten minutes after it was last heard, and holds no log", async (t) => {
  const { stage } = await grow(26);
  const guest = await add(stage, "server", { ephemeral: true });
  await stage.pass(MINUTE_MS);
  const { state } = await leaders(stage);
  const { raftId } = state.get("node", idOf(guest))!.body;
  const { voters, learners } = theGroup(state);
  t.notOk([...voters, ...learners].includes(raftId!));
  const lease = leaseOf(state, idOf(guest))!;
  guest.kill();
  await stage.pass(6 * MINUTE_MS);
  const isThere = () =>
    stage.cluster.up[0]!.node!.control.cluster.view()!.state.get("node", idOf(guest)) !== undefined;
  t.ok(isThere());
  t.ok(await soon(stage, 5 * MINUTE_MS, () => !isThere()), "it goes with its lease");
  const after = (await leaders(stage)).state;
  t.equal(after.get("freed", lease.key)?.body.how, "removed");
  t.ok(after.get("tombstone", idOf(guest)));
});

t.test("who was away while all servers changed finds the new ones", async (t) => {
  const { stage, servers } = await grow(27);
  const { leader } = await leaders(stage);
  const away = servers.find((host) => host !== leader)!;
  away.kill();
  for (let n = 0; n < 3; n++) await add(stage, "server");
  await stage.pass(2 * MINUTE_MS);
  for (const host of servers) {
    if (host === away) continue;
    await during(stage, host.node!.leave());
    host.kill();
    host.staysDown = true;
  }
  await stage.pass(20_000);
  away.start();
  const isLed = () => away.node?.control.cluster.view()?.leaderNode !== undefined;
  t.ok(await soon(stage, 2 * MINUTE_MS, isLed), "at an address that it was given once");
  t.equal(away.node!.control.epochs.later, undefined);
});
