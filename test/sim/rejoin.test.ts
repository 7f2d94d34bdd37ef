/** Stores that are not to be believed, with real nodes on a virtual clock. */
import t from "tap";
import { checksOf } from "../../src/agent/views.ts";
import { theGroup } from "../../src/lease/state.ts";
import { copyOf } from "./disk.ts";
import { grow, reformOn } from "./grow.ts";
import type { Host } from "./host.ts";
import { aLeader, leaderOf, soon, type Stage } from "./stage.ts";

/** One bit of what is stored under a key. */
function flip({ disk: { content: { values } } }: Host, key: string): void {
  const text = values.get(key)!;
  const at = text.length - 2;
  values.set(key, text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1));
}

function subnetOf({ node }: Host): string {
  const standing = node!.standing();
  return standing.kind === "none" ? "none" : standing.holding.subnets.join();
}

const votes = ({ node }: Host) => {
  const replica = node?.control.replica;
  return replica?.status().configuration.voters.includes(replica.raftId) === true;
};

const notesAbout = ({ world }: Stage, host: Host, text: string) =>
  world.notes.filter((note) => note.includes(` ${host.name} `) && note.includes(text));

/** Why it did not start, and what to do. */
const refusalOf = ({ startError }: Host) =>
  `${startError?.code}: ${startError?.why} ${startError?.fix}`;

/** Everybody who speaks in Raft from now on, by id. */
function voices(stage: Stage): Set<number> {
  const heard = new Set<number>();
  stage.cluster.network.onRaft = (_from, { messages }) =>
    messages.forEach((m) => heard.add(m.from));
  return heard;
}

async function writes(stage: Stage): Promise<boolean> {
  const leader = await aLeader(stage);
  let done = false;
  void leader.node!.control.cluster.propose({ kind: "tick" }, { timeoutMs: 5_000 })
    .then(() => (done = true), () => {});
  return await soon(stage, 6_000, () => done);
}

for (const what of ["a flipped bit", "a lost record", "an empty disk"] as const) {
  t.test(`one of three with ${what} comes back with a new raft id and its lease`, async (t) => {
    const { stage, servers } = await grow(11);
    const hurt = servers[2]!;
    const [before, subnet] = [hurt.raftId!, subnetOf(hurt)];
    hurt.kill();
    if (what === "a flipped bit") flip(hurt, "hard");
    else if (what === "a lost record") hurt.disk.content.values.delete("applied");
    else hurt.disk.content.values.clear();
    const heard = voices(stage);
    hurt.start();
    t.ok(await soon(stage, 30_000, () => votes(hurt)), "it votes again");
    t.ok(hurt.raftId! > before, "under another id");
    t.notOk(heard.has(before), "and nobody ever spoke under the old one again");
    t.equal(subnetOf(hurt), subnet);
    t.equal(hurt.node!.standing().kind, "held");
    t.equal(hurt.disk.asides.length, 1, "the old store is kept");
    t.equal(notesAbout(stage, hurt, "store.aside-").length, 1, "and its place is told");
    const { state } = hurt.node!.control.cluster.view()!;
    t.equal(theGroup(state).voters.length, 3);
    t.notOk(theGroup(state).voters.includes(before));
    t.ok(await writes(stage));
  });
}

t.test("an agent's damaged copy costs it nothing but the way there", async (t) => {
  const { stage, agent } = await grow(12);
  const subnet = subnetOf(agent);
  agent.kill();
  flip(agent, "format");
  agent.start();
  t.ok(await soon(stage, 10_000, () => agent.node?.standing().kind === "held"));
  t.equal(subnetOf(agent), subnet);
});

t.test("a sole voter stays down, with its store as it was", async (t) => {
  const { stage, servers } = await grow(13);
  const [sole, ...others] = servers as [Host, Host, Host];
  for (const host of servers) host.kill();
  await reformOn(sole, 2);
  flip(sole, "hard");
  sole.start();
  await soon(stage, 60_000, () => sole.startError !== undefined);
  t.match(
    refusalOf(sole),
    /^STORE_DAMAGED: the checksum of "hard" is wrong; and it may not .*denim rejoin HOST/,
  );
  t.equal(sole.disk.asides.length, 0);
  t.ok(others.every(({ isUp }) => !isUp));
});

t.test("without a majority of the others it stays down; with one it comes back", async (t) => {
  const { stage, servers } = await grow(14);
  const [first, second, hurt] = servers as [Host, Host, Host];
  second.kill();
  hurt.kill();
  flip(hurt, "applied");
  const heard = voices(stage);
  hurt.start();
  await soon(stage, 60_000, () => hurt.startError !== undefined);
  t.match(refusalOf(hurt), /^STORE_DAMAGED: .*No server leads.*denim rejoin HOST/);
  t.equal(hurt.disk.asides.length, 0);
  t.notOk(heard.has(hurt.raftId!), "it gave the lonely one no vote");
  t.equal(leaderOf(stage), undefined);
  second.start();
  await aLeader(stage);
  hurt.start({ rejoin: { servers: [first.address] } });
  t.ok(await soon(stage, 30_000, () => votes(hurt)));
});

t.test("two of three are hurt: neither comes back by itself, both by hand", async (t) => {
  const { stage, servers } = await grow(15);
  const [survivor, ...hurt] = servers as [Host, Host, Host];
  for (const host of hurt) {
    host.kill();
    flip(host, "hard");
  }
  for (const host of hurt) host.start();
  await soon(stage, 60_000, () => hurt.every(({ startError }) => startError !== undefined));
  t.same(hurt.map(({ startError }) => startError?.code), ["STORE_DAMAGED", "STORE_DAMAGED"]);
  survivor.kill();
  await reformOn(survivor, 2);
  survivor.start();
  for (const host of hurt) host.start();
  await soon(stage, 60_000, () => hurt.every(({ startError }) => startError !== undefined));
  t.match(refusalOf(hurt[0]!), /epoch 2/, "by itself it changes no epoch");
  for (const host of hurt) host.start({ rejoin: { servers: [survivor.address] } });
  t.ok(await soon(stage, 60_000, () => [survivor, ...hurt].every(votes)), "three voters again");
  t.same(hurt.map(({ node }) => node!.standing().kind), ["held", "held"]);
});

t.test("yesterday's copy of a server's disk gets no vote; by hand it comes back", async (t) => {
  const { stage, servers } = await grow(16);
  const old = servers[1]!;
  const yesterday = copyOf(old.disk.content);
  const before = old.raftId!;
  old.kill();
  old.start();
  await soon(stage, 20_000, () => votes(old));
  await stage.pass(3_000);
  old.kill();
  old.disk.content = yesterday;
  old.start();
  const answered = new Set<string>();
  stage.cluster.network.onRaft = (_from, { messages }) => {
    for (const { from, kind } of messages) if (from === before) answered.add(kind);
  };
  await stage.pass(10_000);
  t.same([...answered], [], "nobody listens to it, so it hears nobody");
  t.ok(notesAbout(stage, old, "older copy").length > 0, "and it is told why");
  old.kill();
  old.start({ rejoin: { servers: [servers[0]!.address] } });
  t.ok(await soon(stage, 30_000, () => votes(old)));
});

t.test("one identity on two hosts: both are refused, loudly", async (t) => {
  const { stage, servers } = await grow(17);
  const original = servers[2]!;
  const copy = stage.newHost();
  copy.disk.content = copyOf(original.disk.content);
  copy.identity = original.identity;
  copy.isClone = true;
  copy.start();
  await stage.pass(10_000);
  const alarms = stage.world.notes.filter((note) => /two processes use one node/.test(note));
  t.ok(alarms.length > 0);
  for (const host of [original, copy]) {
    t.equal(notesAbout(stage, host, "another host runs with this node's identity").length, 1);
    const checks = checksOf(host.node!);
    const { ok, why = "" } = checks.find(({ name }) => name === "identity")!;
    t.notOk(ok);
    t.match(why, /refuse both/);
  }
});

t.test("a copy without its store does not take the original's place", async (t) => {
  const { stage, servers } = await grow(18);
  const original = servers[2]!;
  const copy = stage.newHost();
  copy.disk.content = { ...copyOf(original.disk.content), values: new Map() };
  copy.identity = original.identity;
  copy.isClone = true;
  copy.start();
  await soon(stage, 60_000, () => copy.startError !== undefined);
  t.match(
    refusalOf(copy),
    /^STORE_DAMAGED: it is empty; and it may not .*Another process of this node is connected/,
  );
  t.ok(votes(original));
  t.equal(original.node!.standing().kind, "held");
});
