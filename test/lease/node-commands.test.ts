import t from "tap";
import type { Canonical } from "../../src/base/canonical.ts";
import { applyGroup } from "../../src/lease/apply.ts";
import type {
  Command,
  CommandOf,
  JoinAnswer,
  LeaseAnswer,
  RejoinAnswer,
} from "../../src/lease/command.ts";
import { FEATURES } from "../../src/lease/feature-level.ts";
import type { Role } from "../../src/lease/records.ts";
import {
  attributes,
  DAY_MS,
  HOUR_MS,
  joiner,
  Ledger,
  OPEN_TOKEN,
  WALL_MS,
} from "../support/ledger.ts";

function withToken(uses: number | null, expiresWallMs = WALL_MS + HOUR_MS): Ledger {
  const ledger = Ledger.open();
  ledger.do({
    ...{ kind: "token.create", tokenId: "t", secretHash: "ff", role: "agent" },
    ...{ uses, expiresWallMs },
  } as Command);
  return ledger;
}

const usesLeft = (ledger: Ledger, tokenId = "t") =>
  ledger.state.get("token", tokenId)?.body.usesLeft;
const nodeOf = (ledger: Ledger, id: string) => ledger.state.get("node", id)?.body;

t.test("a join answers with a name, a lease and, for a server, a raft id", async (t) => {
  const ledger = Ledger.open();
  t.same(ledger.join(1), {
    ...{ nodeId: "id1", name: "host1", role: "agent", raftId: null },
    lease: {
      node: "id1",
      subnets: ["10.5.2.0/24"],
      revision: 3,
      ttlMs: DAY_MS,
      epoch: { n: 1, random: "00000000000000aa" },
    },
  });
  t.equal(ledger.join(2, { role: "server" }).raftId, 2);
  t.equal(nodeOf(ledger, "id2")?.storeId, "store2");
  t.equal(ledger.state.get("cluster", "it")?.body.lastRaftId, 2);
});

t.test("a join whose answer was lost is answered again and costs one use", async (t) => {
  const ledger = withToken(1);
  const first = ledger.join(1, {}, "t");
  t.equal(usesLeft(ledger), 0);
  const again = ledger.join(1, {}, "t");
  t.same(again, first);
  t.equal([...ledger.state.all("node")].length, 2);
  t.throws(() => ledger.join(2, {}, "t"), { code: "TOKEN_USED" });
});

t.test("it is answered again with a token that is used up, has expired or is gone", async (t) => {
  const ledger = withToken(1);
  const first = ledger.join(1, {}, "t");
  ledger.wallMs += 30 * DAY_MS;
  ledger.do({ ...OPEN_TOKEN, tokenId: "new" });
  t.equal(ledger.state.get("token", "t"), undefined);
  const certificateEndsWallMs = ledger.wallMs + 500 * DAY_MS;
  t.same(ledger.join(1, { certificateEndsWallMs }, "t"), first);
  const { certificateEndsWallMs: endsWallMs } = nodeOf(ledger, "id1")!;
  t.equal(endsWallMs, certificateEndsWallMs, "the certificate that it gets now ends later");
});

t.test("a token is refused when it is unknown, has expired or is used up", async (t) => {
  const ledger = withToken(2);
  t.throws(() => ledger.join(1, {}, "other"), { code: "TOKEN_UNKNOWN" });
  ledger.join(1, {}, "t");
  ledger.wallMs = WALL_MS + HOUR_MS;
  t.throws(() => ledger.join(2, {}, "t"), {
    code: "TOKEN_EXPIRED",
    why: "it was good until 2024-07-03T10:46:40.000Z",
  });
  t.equal(usesLeft(ledger), 1, "a refused join costs nothing");
});

t.test("a token without a count lets in any number", async (t) => {
  const ledger = withToken(null);
  for (let n = 1; n < 5; n++) ledger.join(n, {}, "t");
  t.equal(usesLeft(ledger), null);
});

t.test("a name that is taken gets a number", async (t) => {
  const ledger = Ledger.open();
  const name = (n: number) => ledger.join(n, { name: "web" }).name;
  t.same([name(1), name(2), name(3)], ["web", "web-2", "web-3"]);
});

t.test("a node id that another key has joined under is refused", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  t.throws(() => ledger.join(1, { csrKey: "another" }), { code: "JOIN_REFUSED" });
});

t.test("a public address that another lease has is refused", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  t.throws(() => ledger.join(2, { attributes: attributes(1) }), {
    code: "PUBLIC_IP_TAKEN",
    message: "192.168.0.1 is the public address of host1",
  });
  const v6 = { ...attributes(3), publicIpv6: "fd00::3" };
  ledger.join(3, { attributes: v6 });
  const same = { ...attributes(4), publicIpv6: "fd00::3" };
  t.throws(() => ledger.join(4, { attributes: same }), { code: "PUBLIC_IP_TAKEN" });
  ledger.pass(DAY_MS);
  ledger.expireAll();
  t.equal(ledger.join(2, { attributes: attributes(1) }).name, "host2", "its lease has expired");
});

t.test("a replacement gets the name and the address, but not the subnet at once", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.pass(HOUR_MS);
  const taken: JoinAnswer = ledger.join(9, {
    ...{ name: "host1", attributes: attributes(1), replace: "host1" },
    wish: ["10.5.2.0/24"],
  });
  t.same([taken.name, taken.lease.subnets], ["host1", ["10.5.3.0/24"]]);
  t.equal(nodeOf(ledger, "id1"), undefined);
  t.equal(ledger.state.get("tombstone", "id1")?.body.name, "host1");
  const freed = ledger.state.get("freed", "10.5.2.0/24")?.body;
  t.same([freed?.how, freed?.quarantineEndsMs], ["removed", DAY_MS + HOUR_MS]);
});

t.test("a server that holds the log is neither removed, replaced nor let go", async (t) => {
  const ledger = Ledger.open();
  for (
    const command of [
      { kind: "node.remove", node: "host0" },
      { kind: "node.leave", node: "id0" },
      { kind: "node.join", tokenId: "open", node: joiner(1, { replace: "host0" }) },
    ] satisfies Command[]
  ) t.throws(() => ledger.do(command), { code: "REVISION_MISMATCH" });
  applyGroup(ledger.state, ++ledger.index, { voters: [7], learners: [] });
  ledger.do({ kind: "node.leave", node: "id0" });
  t.equal(nodeOf(ledger, "id0"), undefined);
});

t.test("who leaves gives the subnet back at once, and may leave twice", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.do({ kind: "node.leave", node: "id1" });
  ledger.do({ kind: "node.leave", node: "id1" });
  t.equal(ledger.joinedSubnet(2, { wish: ["10.5.2.0/24"] }), "10.5.2.0/24");
  t.throws(() => ledger.do({ kind: "lease.acquire", node: "id1", attributes: attributes(1) }), {
    code: "NOT_A_MEMBER",
    message: "host1 is not in this cluster",
    why: "it left, or was removed",
  });
});

t.test("a removed node's subnet waits for its own deadline and a margin", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.renew(1, HOUR_MS);
  ledger.pass(HOUR_MS);
  const answer = ledger.do({ kind: "node.remove", node: "host1" });
  t.same(answer, { node: "id1", name: "host1" });
  t.same(ledger.do({ kind: "node.remove", node: "id1" }), answer, "removed twice by its id");
  const wish = { wish: ["10.5.2.0/24"] };
  ledger.pass(24 * HOUR_MS - 1);
  t.equal(ledger.joinedSubnet(2, wish), "10.5.3.0/24", "25 h after its renewal");
  ledger.pass(1);
  t.equal(ledger.joinedSubnet(3, wish), "10.5.2.0/24");
});

t.test("a node that comes back after it was removed is no removed node any more", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.do({ kind: "node.remove", node: "id1" });
  ledger.join(1, { wish: ["10.5.2.0/24"] });
  t.equal(ledger.state.get("tombstone", "id1"), undefined);
  t.same(ledger.subnetsOf(1), ["10.5.2.0/24"], "its own quarantine does not bind it");
});

t.test("tombstones go when the last certificate has ended", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1, { certificateEndsWallMs: WALL_MS + HOUR_MS });
  ledger.do({ kind: "node.remove", node: "id1" });
  t.ok(ledger.state.get("tombstone", "id1"));
  ledger.join(2);
  ledger.join(3);
  ledger.wallMs += 2 * HOUR_MS;
  ledger.do({ kind: "node.remove", node: "id2" });
  const gone = () => [...ledger.state.all("tombstone")].map(({ key }) => key);
  t.same(gone(), ["id1", "id2"], "another server's clock may still be before that end");
  ledger.wallMs += DAY_MS;
  ledger.do({ kind: "node.remove", node: "id3" });
  t.same(gone(), ["id2", "id3"]);
});

t.test("facts of a node change with a revision, and only when they change", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  const update = { kind: "node.update", node: "id1", version: "0.2.0", address: "a:1" } as const;
  ledger.do(update);
  const { revision } = ledger.state;
  ledger.do(update);
  t.equal(ledger.state.revision, revision);
  t.same([nodeOf(ledger, "id1")?.version, nodeOf(ledger, "id1")?.address], ["0.2.0", "a:1"]);
});

t.test("only a later start takes the place of a start", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  const started = (counter: number, startId: string) => {
    ledger.do({ kind: "node.update", node: "id1", incarnation: { counter, startId } });
    return nodeOf(ledger, "id1")?.incarnation?.startId;
  };
  t.equal(started(3, "three"), "three");
  t.equal(started(2, "two"), "three", "an old copy of its disk");
  t.equal(started(3, "twin"), "three", "a clone that started at the same time");
  t.equal(started(4, "four"), "four");
});

t.test("silence is marked once, by start, and taken back", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.do({ kind: "node.update", node: "id1", incarnation: { counter: 1, startId: "new" } });
  const mark = (silent: boolean, startId?: string) => {
    ledger.do({ kind: "node.silent", node: "id1", silent, ...(startId ? { startId } : {}) });
    return nodeOf(ledger, "id1")?.silent === true;
  };
  t.equal(mark(true, "old"), false, "an earlier process fell silent, not this one");
  t.equal(mark(true, "new"), true);
  const { revision } = ledger.state;
  t.equal(mark(true, "new"), true);
  t.equal(ledger.state.revision, revision);
  t.equal(mark(false), false);
  t.notOk("silent" in nodeOf(ledger, "id1")!);
  t.same(ledger.do({ kind: "node.silent", node: "nobody", silent: true }), null);
});

function rejoin(
  node: string,
  startId: string,
  role: Role = "server",
): CommandOf<"node.rejoin"> {
  return {
    kind: "node.rejoin",
    ...{ node, name: "web", role, address: "192.0.2.9:7470", version: "0.1.0" },
    ...{ features: FEATURES, storeId: `store of ${startId}`, startId },
  };
}

t.test("who comes back with an empty store has a new raft id and the lease it had", async (t) => {
  const ledger = Ledger.open();
  const { lease } = ledger.join(1, { role: "server" });
  ledger.do({ kind: "node.update", node: "id1", incarnation: { counter: 7, startId: "old" } });
  const before = nodeOf(ledger, "id1")!;
  const answer = {
    ...{ name: "host1", role: "server" },
    raftId: 3,
    epoch: { n: 1, random: "00000000000000aa" },
    incarnation: { counter: 8, startId: "new" },
  };
  ledger.join(2, { role: "server" });
  t.same(ledger.do(rejoin("id1", "new")), { ...answer, raftId: 4 });
  t.same(nodeOf(ledger, "id1"), {
    ...before,
    ...{ raftId: 4, storeId: "store of new", incarnation: answer.incarnation },
  });
  const asked = { kind: "lease.acquire", node: "id1", attributes: attributes(1) } as const;
  t.same((ledger.do(asked) as LeaseAnswer).subnets, lease.subnets);
  t.same(ledger.do(rejoin("id1", "new")), { ...answer, raftId: 4 }, "asked again");
  t.same((ledger.do(rejoin("id1", "newer")) as RejoinAnswer).raftId, 5);
});

t.test("an agent that comes back has a new start and no raft id", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  t.same(ledger.do(rejoin("id1", "new", "agent")), {
    ...{ name: "host1", role: "agent" },
    raftId: null,
    epoch: { n: 1, random: "00000000000000aa" },
    incarnation: { counter: 1, startId: "new" },
  });
  t.equal(nodeOf(ledger, "id1")?.storeId, undefined);
});

t.test("a sole voter, and who is no member, cannot come back with an empty store", async (t) => {
  const ledger = Ledger.open();
  t.throws(() => ledger.do(rejoin("id0", "new")), { code: "REVISION_MISMATCH" });
  t.equal(nodeOf(ledger, "id0")?.raftId, 1);
  t.throws(() => ledger.do(rejoin("id9", "new")), { code: "NOT_A_MEMBER" });
});

t.test("in a hold, who joined in what was lost is taken back with its empty store", async (t) => {
  const ledger = Ledger.open();
  ledger.reform();
  const answer = ledger.do(rejoin("id9", "new")) as RejoinAnswer;
  t.same([answer.raftId, answer.epoch.n], [2, 2]);
  const { name, role, raftId } = nodeOf(ledger, "id9")!;
  t.same([name, role, raftId], ["web", "server", 2]);
});

/** Comes back by a token, with what a key is called. */
function byToken(node: string, tokenId: string, csrKey: string, startId = "new") {
  const proof = { tokenId, csrKey, certificateEndsWallMs: WALL_MS + 99 * DAY_MS };
  return { ...rejoin(node, startId, "agent"), proof };
}

/** A token for `uses`, that was made for a node where one is named. */
function give(ledger: Ledger, tokenId: string, uses: number, node?: string): void {
  ledger.do({ ...OPEN_TOKEN, tokenId, uses, ...(node === undefined ? {} : { node }) });
}

t.test("a token and its key bring a node back; asked again, it costs nothing", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1, { certificateEndsWallMs: WALL_MS + 90 * DAY_MS });
  give(ledger, "once", 1);
  const first = ledger.do(byToken("id1", "once", "key1")) as RejoinAnswer;
  t.same([first.name, first.role, usesLeft(ledger, "once")], ["host1", "agent", 0]);
  t.equal(nodeOf(ledger, "id1")!.certificateEndsWallMs, WALL_MS + 99 * DAY_MS);
  t.same(ledger.do(byToken("id1", "once", "key1")), first as unknown as Canonical);
  t.throws(() => ledger.do(byToken("id1", "once", "key1", "newer")), { code: "TOKEN_USED" });
});

t.test("who is given a certificate again is remembered for as long as that is good", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1, { certificateEndsWallMs: WALL_MS + 90 * DAY_MS });
  give(ledger, "any", 1);
  const trust = { cas: ["aa"], issuer: "aa" };
  ledger.do({ kind: "node.update", node: "id1", trust });
  const asked = byToken("id1", "any", "key1");
  const until = (days: number) => ({ certificateEndsWallMs: WALL_MS + days * DAY_MS });
  const again = (days: number) =>
    ledger.do({ ...asked, proof: { ...asked.proof, ...until(days) } });
  const endsWallMs = () => nodeOf(ledger, "id1")!.certificateEndsWallMs;
  again(80);
  t.equal(endsWallMs(), WALL_MS + 90 * DAY_MS, "one from before is good for longer");
  t.equal(nodeOf(ledger, "id1")!.trust, undefined, "its old certificate is gone from its disk");
  again(150);
  t.equal(endsWallMs(), WALL_MS + 150 * DAY_MS, "the same request again gets a new one, too");
});

t.test("a token alone takes nobody's place, whatever else is known of it", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.join(2);
  ledger.do({ kind: "node.update", node: "id1", incarnation: { counter: 1, startId: "seen" } });
  for (const startId of ["new", "seen"]) {
    t.throws(() => ledger.do(byToken("id1", "open", "thief", startId)), {
      code: "JOIN_REFUSED",
      fix: /token create --node host1/,
    });
  }
  give(ledger, "for2", 1, "id2");
  t.throws(() => ledger.do(byToken("id1", "for2", "key1")), {
    code: "TOKEN_INVALID",
    message: /not made for host1/,
  });
  t.same([usesLeft(ledger, "for2"), nodeOf(ledger, "id1")!.csrKey], [1, "key1"]);
});

t.test("a token for that node brings it back with another key, and lets nobody join", async (t) => {
  const ledger = Ledger.open();
  const { lease } = ledger.join(1);
  give(ledger, "for1", 1, "id1");
  t.throws(() => ledger.join(3, {}, "for1"), { code: "TOKEN_INVALID", fix: /denim rejoin/ });
  ledger.do(byToken("id1", "for1", "key of today"));
  t.equal(nodeOf(ledger, "id1")!.csrKey, "key of today");
  t.same(ledger.subnetsOf(1), lease.subnets);
  t.throws(() => ledger.do(byToken("id1", "open", "key1", "newer")), { code: "JOIN_REFUSED" });
});

t.test("a token brings no removed node back, nor one that nobody knows", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.do({ kind: "node.remove", node: "id1" });
  t.throws(() => ledger.do(byToken("id1", "open", "key1")), {
    code: "NOT_A_MEMBER",
    why: /removed/,
  });
  t.throws(() => ledger.do(byToken("id9", "open", "key9")), { code: "NOT_A_MEMBER" });
  ledger.reform();
  t.throws(() => ledger.do(byToken("id9", "open", "key9")), { code: "JOIN_REFUSED" });
  give(ledger, "for9", 1, "id9");
  ledger.do(byToken("id9", "for9", "key9"));
  t.same([nodeOf(ledger, "id9")!.name, nodeOf(ledger, "id9")!.csrKey], ["web", "key9"]);
});

t.test("a zone is kept until another is said, or none", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1, { zone: "rack1" });
  ledger.join(2);
  t.equal(nodeOf(ledger, "id1")?.zone, "rack1");
  t.notOk("zone" in nodeOf(ledger, "id2")!, "who says none has the record of old");
  ledger.do({ kind: "node.update", node: "id1", version: "0.2.0" });
  t.equal(nodeOf(ledger, "id1")?.zone, "rack1");
  ledger.do({ kind: "node.update", node: "id1", zone: "rack2" });
  t.equal(nodeOf(ledger, "id1")?.zone, "rack2");
  ledger.do({ kind: "node.update", node: "id1", zone: "" });
  t.notOk("zone" in nodeOf(ledger, "id1")!);
  const { revision } = ledger.state;
  ledger.do({ kind: "node.update", node: "id2", zone: "" });
  t.equal(ledger.state.revision, revision, "no news");
});

t.test("who leaves may keep its subnet for its name", async (t) => {
  const ledger = Ledger.open();
  const subnet = ledger.joinedSubnet(1);
  ledger.do({ kind: "node.leave", node: "id1", keepLease: true });
  t.same(ledger.state.get("reservation", subnet)?.body, { nodeName: "host1" });
  t.not(ledger.joinedSubnet(2), subnet, "nobody else gets it");
  const back = ledger.join(3, { nodeId: "id3", name: "host1", csrKey: "new" });
  t.same(back.lease.subnets, [subnet]);
});

t.test("who leaves keeps its subnet though the lease ran out while it waited", async (t) => {
  const ledger = Ledger.open();
  const subnet = ledger.joinedSubnet(1);
  ledger.pass(2 * DAY_MS);
  ledger.expireAll();
  t.same(ledger.subnetsOf(1), []);
  ledger.do({ kind: "node.leave", node: "id1", keepLease: true });
  t.same(ledger.state.get("reservation", subnet)?.body, { nodeName: "host1" });
  const back = ledger.join(3, { nodeId: "id3", name: "host1", csrKey: "new" });
  t.same(back.lease.subnets, [subnet], "and does not wait for it");
});
