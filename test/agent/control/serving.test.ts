/** What a node answers to whom. */
import t, { type Test } from "tap";
import { servePeer, type ServingParts } from "../../../src/agent/control/serving.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { applyGroup } from "../../../src/lease/apply.ts";
import type { Command } from "../../../src/lease/command.ts";
import type { StateRecord } from "../../../src/lease/records.ts";
import type { Message } from "../../../src/raft/mod.ts";
import type { Replica } from "../../../src/replica/replica.ts";
import { Digest } from "../../../src/store/digest.ts";
import { Handlers } from "../../../src/transport/handlers.ts";
import type { Hello } from "../../../src/transport/handshake.ts";
import { type FollowItem, KIND, PART_RECORDS } from "../../../src/transport/protocol.ts";
import { channelPair } from "../../support/channels.ts";
import { until } from "../../support/fast-clock.ts";
import { attributes, EPOCH, joiner } from "../../support/ledger.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { partsOver } from "../../support/remote-rig.ts";

/** Host 0 leads; hosts 1 and 2 are servers of raft ids 2 and 3; host 3 is an agent. */
function cluster(): MemoryCluster {
  const memory = new MemoryCluster(systemClock());
  for (const n of [1, 2]) {
    memory.apply({ kind: "node.join", tokenId: "open", node: joiner(n, { role: "server" }) });
  }
  memory.apply({ kind: "node.join", tokenId: "open", node: joiner(3) });
  return memory;
}

function hello(n: number, role: Hello["role"]): Hello {
  return {
    ...{ wants: "peer", protocol: { min: 1, max: 1 }, version: "0.1.0", clusterId: "amber" },
    features: { min: 1, max: 1 },
    ...{ epoch: EPOCH, nodeId: `id${n}`, role, starts: [{ counter: 1, startId: "a" }] },
    incarnation: { counter: 1, startId: "a" },
  } as Hello;
}

/** What this node has in place of a replica: raft id 1, and a memory of what it was given. */
function fakeReplica(raftId = 1) {
  const received: Message[] = [];
  const snapshots: number[] = [];
  const replica = {
    raftId,
    receive: (messages: readonly Message[]) => void received.push(...messages),
    receiveSnapshot: (_: unknown, capture: { records: readonly unknown[] }) =>
      void snapshots.push(capture.records.length),
  } as unknown as Replica;
  return { replica, received, snapshots };
}

async function peer(
  t: Test,
  who: Hello,
  memory = cluster(),
  more: Partial<ServingParts> = {},
) {
  const [near, far] = await channelPair(t);
  near.start(servePeer(partsOver(memory, more), who));
  return far.start(new Handlers());
}

const append = (from: number, to: number, commit = 0): Message => ({
  ...{ kind: "append", from, to, term: 1, commit },
  ...{ previousIndex: 0, previousTerm: 0, entries: [] },
});

t.test("an agent writes its own lease and facts, and nothing else", async (t) => {
  const memory = cluster();
  const asked = await peer(t, hello(3, "agent"), memory);
  const say = (command: Command) => asked.request(KIND.propose, { command });
  const renew = { kind: "lease.renew", node: "id3", subnets: ["10.5.4.0/24"] } as const;
  t.equal(((await say(renew)) as { node: string }).node, "id3");
  const before = memory.commands.length;
  const refused: Command[] = [
    { ...renew, node: "id1" },
    { kind: "node.remove", node: "id1" },
    { kind: "network.set", config: "{}" },
    { kind: "token.revoke", tokenId: "open" },
    { kind: "node.leave", node: "id2" },
    { kind: "cluster.release-hold", epoch: EPOCH, early: true },
    { kind: "cluster.raise-level", to: 2 },
    { kind: "tick" },
  ];
  for (const command of refused) await t.rejects(say(command), { code: "PEER_REFUSED" });
  const garbled = { ...attributes(3), publicIp: 7 } as unknown as ReturnType<typeof attributes>;
  await t.rejects(say({ kind: "lease.acquire", node: "id3", attributes: garbled }), {
    code: "REQUEST_INVALID",
    why: /publicIp/,
  });
  t.equal(memory.commands.length, before, "nothing of it reached the log");
});

t.test("a server passes on anything; what is for the leader alone is not passed on", async (t) => {
  const memory = cluster();
  const asked = await peer(t, hello(1, "server"), memory, { replica: () => undefined });
  await asked.request(KIND.propose, { command: { kind: "token.revoke", tokenId: "open" } });
  t.equal(memory.commands.at(-1)?.kind, "token.revoke");
  const here = { command: { kind: "tick" }, here: true };
  await t.rejects(asked.request(KIND.propose, here), { code: "NOT_LEADER" });
});

t.test("a raft id that the certificate does not bear is not believed", async (t) => {
  const { replica, received } = fakeReplica();
  const asked = await peer(t, hello(1, "server"), cluster(), { replica: () => replica });
  asked.notify(KIND.raft, { messages: [append(3, 1), append(2, 1), append(2, 9), append(1, 1)] });
  await until("it came", () => received.length > 0);
  t.same(received, [append(2, 1)]);
});

t.test("an agent has no part in raft, whatever it sends", async (t) => {
  const { replica, received, snapshots } = fakeReplica();
  const kept: string[] = [];
  const asked = await peer(t, hello(3, "agent"), cluster(), {
    replica: () => replica,
    keepCaKey: (key) => Promise.resolve(void kept.push(key)),
  });
  asked.notify(KIND.raft, { messages: [append(2, 1)] });
  asked.notify(KIND.connected, { nodes: [{ node: "id1", startId: "a" }] });
  await t.rejects(asked.request(KIND.ca, { caKey: "mine" }), { code: "PROTOCOL" });
  await t.rejects(asked.request(KIND.snapshot, {}), { code: "PROTOCOL" });
  await t.rejects(asked.request(KIND.group, {}), { code: "PROTOCOL" });
  t.same([received, snapshots, kept], [[], [], []]);
});

t.test("the CA key comes to who holds no log, or is a member under that id", async (t) => {
  const kept: string[] = [];
  let { replica }: { replica: Replica | undefined } = fakeReplica(2);
  const asked = await peer(t, hello(1, "server"), cluster(), {
    replica: () => replica,
    keepCaKey: (key) => Promise.resolve(void kept.push(key)),
  });
  await t.rejects(asked.request(KIND.ca, { caKey: "early", raftId: 3 }), { code: "PEER_REFUSED" });
  await asked.request(KIND.ca, { caKey: "a rotation's", raftId: 2 });
  replica = undefined;
  await asked.request(KIND.ca, { caKey: "in time", raftId: 3 });
  t.same(kept, ["a rotation's", "in time"]);
});

t.test("the leader's call makes a standby; what comes after the farewell does not", async (t) => {
  const memory = cluster();
  const calls: number[] = [];
  const started = fakeReplica(3);
  const asked = await peer(t, hello(1, "server"), memory, {
    replica: () => undefined,
    becomeServer: (raftId) => {
      calls.push(raftId);
      return Promise.resolve(started.replica);
    },
  });
  const { revision } = memory.view().position;
  asked.notify(KIND.raft, { messages: [append(2, 3, revision)] });
  const late = { kind: "heartbeat", from: 2, to: 3, term: 1, commit: 99, readPosition: 0 };
  asked.notify(KIND.raft, { messages: [late] });
  await asked.request(KIND.routes, {});
  t.same(calls, [], "it knows that much, and that it is no member");
  asked.notify(KIND.raft, { messages: [append(2, 3, revision + 1)] });
  await until("the replica has it", () => started.received.length === 1);
  t.same(calls, [3]);
  applyGroup(memory.copy.state, revision + 1, { voters: [1, 2], learners: [3] });
  asked.notify(KIND.raft, { messages: [late] });
  await until("a member is called by anything", () => calls.length === 2);
});

t.test("what comes for who is no member any more is not a call, but has an answer", async (t) => {
  const memory = cluster();
  const [called, asked]: [number[], Message[]] = [[], []];
  const voter = await peer(t, hello(1, "server"), memory, {
    replica: () => undefined,
    becomeServer: (raftId) => Promise.resolve(void called.push(raftId)),
    answerAsFormer: (messages) => void asked.push(...messages),
  });
  const preVote = (from: number): Message => ({
    ...{ kind: "pre-vote", from, to: 3, term: 2, lastIndex: 9, lastTerm: 1 },
  });
  voter.notify(KIND.raft, { messages: [preVote(2), preVote(1)] });
  await until("it was asked", () => asked.length > 0);
  t.same(asked, [preVote(2)], "only by who the certificate says it is");
  t.same(called, []);
});

t.test("a snapshot counts only whole, and with the digest that it names", async (t) => {
  const memory = cluster();
  const { replica, snapshots } = fakeReplica();
  const asked = await peer(t, hello(1, "server"), memory, { replica: () => replica });
  const records = [...memory.view().state.all("node")] as StateRecord[];
  const digests = { digest: Digest.of(records).text, clockDigest: Digest.of([]).text };
  const applied = { index: 9, term: 1, ...digests };
  const offer = { kind: "snapshot", from: 2, to: 1, term: 1, snapshot: { index: 9, term: 1 } };
  const end = { offer, applied, chain: 1 };
  const send = (part: object) => asked.request(KIND.snapshot, part);
  const snapshot = `9.1.${applied.digest}.${applied.clockDigest}`;
  t.same(await send({ snapshot, at: 0, records: records.slice(0, 2) }), { at: 2 });
  const rest = { snapshot, at: 2, records: records.slice(2), end };
  t.same(await send(rest), { at: records.length });
  t.same(snapshots, [records.length]);
  const wrong = { snapshot, at: 0, records: records.slice(1), end };
  await t.rejects(send(wrong), { code: "PROTOCOL" });
  t.same(await send(rest), { at: 0 }, "that one is forgotten");
  const others = { ...end, offer: { ...offer, from: 3 } };
  const whole = { snapshot, at: 0, records, end: others };
  await t.rejects(send(whole), { code: "PEER_REFUSED" });
  t.equal(snapshots.length, 1);
});

t.test("a follower is sent a snapshot in parts, then events, then who leads", async (t) => {
  for (const count of [0, 1, PART_RECORDS, PART_RECORDS + 1, 2 * PART_RECORDS]) {
    const memory = cluster();
    const record = memory.view().state.get("node", "id1")! as StateRecord;
    const records = Array.from({ length: count }, () => record);
    const { position } = memory.view();
    const once = Object.assign(Object.create(MemoryCluster.prototype) as MemoryCluster, {
      view: () => memory.view(),
      async *follow() {
        yield { kind: "snapshot", position, records };
        yield { kind: "progress", position, digest: "d", leaderAgeMs: 5 };
      },
    });
    const asked = await peer(t, hello(3, "agent"), once);
    const items: FollowItem[] = [];
    for await (const item of asked.open(KIND.follow, {})) items.push(item as FollowItem);
    const sizes = items.flatMap((item) =>
      item.kind === "part" || item.kind === "snapshot" ? [item.records.length] : []
    );
    t.equal(sizes.reduce((a, b) => a + b, 0), count);
    t.ok(sizes.every((size) => size <= PART_RECORDS), `${sizes}`);
    t.same(items.map(({ kind }) => kind).slice(-2), ["snapshot", "progress"]);
    t.equal((items.at(-1) as { leaderNode?: string }).leaderNode, "id0");
  }
});

t.test("who holds no log is not followed, but says what the group is", async (t) => {
  const memory = cluster();
  applyGroup(memory.copy.state, 99, { voters: [1, 2], learners: [3] });
  const asked = await peer(t, hello(1, "server"), memory, { replica: () => undefined });
  const following = (async () => {
    for await (const _ of asked.open(KIND.follow, {})) return;
  })();
  await t.rejects(following, { code: "PEER_REFUSED" });
  t.same(await asked.request(KIND.group, {}), { members: [1, 2, 3] });
});

t.test("an agent takes itself out, a server anybody", async (t) => {
  const gone: string[] = [];
  const letGo = (node: string, how: string) => Promise.resolve(void gone.push(`${how} ${node}`));
  const agent = await peer(t, hello(3, "agent"), cluster(), { letGo });
  await agent.request(KIND.leave, { node: "id3", how: "leave" });
  for (const body of [{ node: "id2", how: "leave" }, { node: "id3", how: "remove" }]) {
    await t.rejects(agent.request(KIND.leave, body), { code: "PEER_REFUSED" });
  }
  const server = await peer(t, hello(1, "server"), cluster(), { letGo });
  await server.request(KIND.leave, { node: "id3", how: "remove" });
  t.same(gone, ["leave id3", "remove id3"]);
});

t.test("routes are looked up where the asker means", async (t) => {
  const looked: string[] = [];
  const routesOf = (node: string, where: string) => {
    looked.push(`${node} ${where}`);
    return Promise.resolve([]);
  };
  const asked = await peer(t, hello(3, "agent"), cluster(), { routesOf });
  await asked.request(KIND.nodeRoutes, { node: "id1" });
  await asked.request(KIND.nodeRoutes, { node: "id1", here: true });
  t.same(looked, ["id1 anywhere", "id1 here"]);
});
