/** Connections between nodes, found by who is at the other end. */
import t from "tap";
import { Mesh } from "../../../src/agent/control/mesh.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { seededRandom } from "../../../src/base/random.ts";
import type { StateRecord } from "../../../src/lease/records.ts";
import type { Message, SnapshotOffer } from "../../../src/raft/mod.ts";
import type { Channel } from "../../../src/transport/channel.ts";
import { Handlers } from "../../../src/transport/handlers.ts";
import type { Hello } from "../../../src/transport/handshake.ts";
import {
  KIND,
  PART_RECORDS,
  type SnapshotPart,
  type SnapshotTaken,
} from "../../../src/transport/protocol.ts";
import { channelPair } from "../../support/channels.ts";
import { EPOCH, Ledger } from "../../support/ledger.ts";
import { RecordingLogger } from "../../support/log.ts";
import { until } from "../../support/sockets.ts";
import type { Test } from "../../support/tap.ts";

function hello(node: string, startId: string, wants: Hello["wants"] = "peer"): Hello {
  return {
    wants,
    protocol: { min: 1, max: 1 },
    features: { min: 1, max: 1 },
    version: "0.1.0",
    clusterId: "amber",
    epoch: EPOCH,
    nodeId: node,
    role: "server",
    incarnation: { counter: 1, startId },
    starts: [{ counter: 1, startId }],
  };
}

class Setting {
  readonly log = new RecordingLogger();
  readonly ledger = Ledger.open();
  readonly unreachable: number[] = [];
  readonly dialed: string[] = [];
  readonly mesh: Mesh;
  /** What answers at every address. */
  answer: (() => Promise<Channel>) | undefined;

  constructor(t: Test) {
    for (const n of [1, 2]) this.ledger.join(n, { role: "server" });
    this.mesh = new Mesh({
      state: () => this.ledger.state,
      dial: async (node, address) => {
        this.dialed.push(`${node} ${address}`);
        if (this.answer === undefined) throw new Error("nobody answers");
        return await this.answer();
      },
      onUnreachable: (raftId) => void this.unreachable.push(raftId),
      clock: systemClock(),
      random: seededRandom(1),
      logger: this.log,
    });
    t.teardown(() => this.mesh[Symbol.asyncDispose]());
  }

  /** A node connects. The far end answers as `handlers` say. */
  async connect(t: Test, greeting: Hello, handlers = new Handlers()) {
    const [near, far] = await channelPair(t);
    far.start(handlers);
    const accepted = this.mesh.accept(near, greeting);
    if (accepted) near.start(new Handlers());
    return { near, far, accepted };
  }
}

const heartbeat = (to: number): Message => ({
  kind: "heartbeat",
  from: 1,
  to,
  term: 1,
  commit: 0,
  readPosition: 0,
});

t.test("two processes of one identity are both refused, loudly", async (t) => {
  const setting = new Setting(t);
  const { mesh, log } = setting;
  const told: string[] = [];
  const hears = (which: string) => new Handlers().notice(KIND.twin, () => told.push(which));
  const first = await setting.connect(t, hello("id1", "one"), hears("one"));
  const second = await setting.connect(t, hello("id1", "two"), hears("two"));
  t.same([first.accepted, second.accepted], [true, false]);
  await Promise.all([first.near.closed, second.near.closed, first.far.closed, second.far.closed]);
  t.same(told.sort(), ["one", "two"], "each of them hears why");
  t.equal(mesh.channelTo("id1"), undefined);
  t.same(mesh.connected(), []);
  t.ok(log.lines.some((line) => /^error .*two processes.*node=id1.*one two/.test(line)));
});

t.test("a process replaces its own older connection", async (t) => {
  const setting = new Setting(t);
  const first = await setting.connect(t, hello("id1", "one"));
  const second = await setting.connect(t, hello("id1", "one"));
  t.equal(second.accepted, true);
  await first.far.closed;
  t.equal(setting.mesh.channelTo("id1"), second.near);
  t.same(setting.mesh.connected(), [{ node: "id1", startId: "one" }]);
});

t.test("another process may come once the first is gone", async (t) => {
  const setting = new Setting(t);
  const first = await setting.connect(t, hello("id1", "one"));
  first.far.close();
  await first.near.closed;
  t.equal((await setting.connect(t, hello("id1", "two"))).accepted, true);
});

t.test("a node is found whichever way it is connected", async (t) => {
  const setting = new Setting(t);
  const watch = await setting.connect(t, hello("id1", "one", "watch"));
  t.equal(setting.mesh.channelTo("id1"), watch.near);
  const peer = await setting.connect(t, hello("id1", "one"));
  t.equal(setting.mesh.channelTo("id1"), peer.near);
  t.same(setting.mesh.connected(), [{ node: "id1", startId: "one" }]);
  peer.far.close();
  await peer.near.closed;
  t.equal(setting.mesh.channelTo("id1"), watch.near);
});

t.test("who is no longer a member is sent away, the others stay", async (t) => {
  const setting = new Setting(t);
  const [one, two] = [
    await setting.connect(t, hello("id1", "one")),
    await setting.connect(t, hello("id2", "two", "watch")),
  ];
  const isMember = (node: string) => node !== "id2";
  t.equal(setting.mesh.hasStrangers(() => true), false);
  t.equal(setting.mesh.hasStrangers(isMember), true);
  setting.mesh.dismissStrangers(isMember);
  await two.far.closed;
  t.equal(one.near.isClosed, false);
});

t.test("who connects anew is called anew: what it has lost is lost both ways", async (t) => {
  const setting = new Setting(t);
  setting.answer = async () => {
    const [near, far] = await channelPair(t);
    far.start(new Handlers());
    return near.start(new Handlers());
  };
  setting.mesh.keep(new Set(["id2"]));
  await until(() => setting.mesh.channelTo("id2") !== undefined, "it is connected");
  const outbound = setting.mesh.channelTo("id2")!;
  await setting.connect(t, hello("id2", "one"));
  t.equal(setting.mesh.channelTo("id2"), outbound, "its first connection says nothing");
  setting.answer = undefined;
  const second = await setting.connect(t, hello("id2", "one"));
  await outbound.closed;
  t.equal(setting.mesh.channelTo("id2"), second.near);
});

t.test("all connections end, and those that it keeps up come back", async (t) => {
  const setting = new Setting(t);
  const inbound = await setting.connect(t, hello("id1", "one"));
  let calls = 0;
  setting.answer = async () => {
    calls++;
    const [near, far] = await channelPair(t);
    far.start(new Handlers());
    return near.start(new Handlers());
  };
  setting.mesh.keep(new Set(["id2"]));
  await until(() => setting.mesh.channelTo("id2") !== undefined, "it is connected");
  const before = setting.mesh.channelTo("id2")!;
  setting.mesh.hangUp("another address");
  await Promise.all([before.closed, inbound.far.closed]);
  await until(() => setting.mesh.channelTo("id2") !== undefined, "it is connected");
  t.equal(calls, 2);
  t.equal(setting.mesh.channelTo("id1"), undefined);
});

t.test("it keeps connections to exactly those that it is told, where they listen now", async (t) => {
  const setting = new Setting(t);
  const closed: string[] = [];
  setting.answer = async () => {
    const [near, far] = await channelPair(t);
    far.start(new Handlers());
    void near.closed.then(() => closed.push("closed"));
    return near.start(new Handlers());
  };
  setting.mesh.keep(new Set(["id1"]));
  setting.mesh.keep(new Set(["id1", "id2"]));
  const { mesh } = setting;
  await until(
    () => mesh.channelTo("id1") !== undefined && mesh.channelTo("id2") !== undefined,
    "up",
  );
  t.same(setting.dialed, ["id1 192.168.0.1:7470", "id2 192.168.0.2:7470"]);
  mesh.keep(new Set(["id2"]));
  await until(() => closed.length === 1, "the other is closed");
  t.equal(mesh.channelTo("id1"), undefined);
  setting.ledger.do({ kind: "node.update", node: "id2", address: "192.168.9.9:7470" });
  mesh.channelTo("id2")!.close();
  await until(() => setting.dialed.length === 3, "it dials again");
  t.equal(setting.dialed[2], "id2 192.168.9.9:7470");
});

t.test("messages go to the node that has the raft id; what is not sent is reported", async (t) => {
  const setting = new Setting(t);
  const heard: unknown[] = [];
  const handlers = new Handlers().notice(KIND.raft, (body) => void heard.push(body));
  await setting.connect(t, hello("id1", "one"), handlers);
  setting.mesh.send([heartbeat(2), heartbeat(3), heartbeat(2), heartbeat(9)]);
  t.same(setting.unreachable, [], "not while the core hands its messages out");
  await until(() => heard.length === 1, "they came, together");
  t.same(heard, [{ messages: [heartbeat(2), heartbeat(2)] }]);
  t.same(setting.unreachable, [3, 9]);
});

/** A snapshot of so many records, and what sends it to host 1. */
function snapshotOf(setting: Setting, count: number) {
  const record = setting.ledger.state.get("node", "id1")! as StateRecord;
  const records = Array.from({ length: count }, () => record);
  const offer = { kind: "snapshot", from: 1, to: 2, term: 1, snapshot: { index: 7, term: 1 } };
  const applied = { index: 7, term: 1, digest: "d", clockDigest: "c" };
  let progress = 0;
  return {
    send: (to = 2) =>
      setting.mesh.sendSnapshot(
        { ...offer, to } as unknown as SnapshotOffer,
        { applied, chain: 5, records } as never,
        () => progress++,
      ),
    progress: () => progress,
  };
}

/** Takes parts until the connection is to break. */
function receiver(parts: SnapshotPart[], state: { at: number; breakAt?: number }): Handlers {
  return new Handlers().request(KIND.snapshot, (body, { channel }): SnapshotTaken => {
    const part = body as SnapshotPart;
    if (part.at === state.breakAt) {
      delete state.breakAt;
      channel.close("broken");
      throw new Error("broken");
    }
    parts.push(part);
    state.at += part.at === state.at ? part.records.length : 0;
    return { at: state.at };
  });
}

t.test("a snapshot goes in parts, and the last one says what it is", async (t) => {
  const setting = new Setting(t);
  const parts: SnapshotPart[] = [];
  await setting.connect(t, hello("id1", "one"), receiver(parts, { at: 0 }));
  const { send, progress } = snapshotOf(setting, 2 * PART_RECORDS + 1);
  t.equal(await send(), true);
  t.same(parts.map(({ records }) => records.length), [0, PART_RECORDS, PART_RECORDS, 1]);
  t.same(parts.map(({ at }) => at), [0, 0, PART_RECORDS, 2 * PART_RECORDS]);
  t.same([...new Set(parts.map(({ snapshot }) => snapshot))], ["7.1.d.c"]);
  t.same(parts.map(({ end }) => end?.chain), [undefined, undefined, undefined, 5]);
  t.equal(progress(), 4);
  t.equal(await send(3), false, "nobody is there");
});

t.test("a snapshot without records is one part", async (t) => {
  const setting = new Setting(t);
  const parts: SnapshotPart[] = [];
  await setting.connect(t, hello("id1", "one"), receiver(parts, { at: 0 }));
  t.equal(await snapshotOf(setting, 0).send(), true);
  t.same(parts.map(({ at, end }) => [at, end?.chain]), [[0, undefined], [0, 5]]);
});

t.test("a snapshot that broke off goes on where it was, over the next connection", async (t) => {
  const setting = new Setting(t);
  const parts: SnapshotPart[] = [];
  const state = { at: 0, breakAt: 2 * PART_RECORDS };
  const handlers = receiver(parts, state);
  const first = await setting.connect(t, hello("id1", "one"), handlers);
  const { send } = snapshotOf(setting, 3 * PART_RECORDS);
  t.equal(await send(), false);
  await first.near.closed;
  await setting.connect(t, hello("id1", "one"), handlers);
  parts.length = 0;
  t.equal(await send(), true);
  t.same(parts.map(({ at, records }) => [at, records.length]), [
    [0, 0],
    [2 * PART_RECORDS, PART_RECORDS],
  ]);
});

t.test("a snapshot that is refused on its way was not taken", async (t) => {
  const setting = new Setting(t);
  await setting.connect(t, hello("id1", "one"));
  t.equal(await snapshotOf(setting, 1).send(), false);
  t.ok(setting.log.lines.some((line) => /^warn .*was not taken/.test(line)));
});

t.test("a node that is not connected is connected to for one question", async (t) => {
  const setting = new Setting(t);
  const ends: Channel[] = [];
  setting.answer = async () => {
    const [near, far] = await channelPair(t);
    ends.push(far.start(new Handlers().request("double", (body) => (body as number) * 2)));
    return near.start(new Handlers());
  };
  t.equal(await setting.mesh.ask("id2", "double", 4, 5_000), 8);
  await ends[0]!.closed;
  await t.rejects(setting.mesh.ask("id9", "double", 4, 5_000), { code: "PEER_UNREACHABLE" });
  await t.rejects(setting.mesh.forward(9, { kind: "tick" }, 5_000), { code: "PEER_UNREACHABLE" });
});
