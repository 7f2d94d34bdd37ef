/** Who is let in, and why others are not. */
import t from "tap";
import { isWelcome, judgePeer, judgeServer } from "../../../src/agent/control/gate.ts";
import type { Epoch, Incarnation } from "../../../src/lease/records.ts";
import { State } from "../../../src/lease/state.ts";
import type { Hello } from "../../../src/transport/handshake.ts";
import { EPOCH, LATER, Ledger } from "../../support/ledger.ts";

const CLUSTER = "00112233445566778899aabbccddeeff";

function ledger(): Ledger {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.join(2, { role: "server" });
  const incarnation = { counter: 3, startId: "start-c" };
  ledger.do({ kind: "node.update", node: "id1", incarnation });
  return ledger;
}

/** `bc` are the second and the third start of a disk. */
function starts(letters: string): Incarnation[] {
  return [...letters].map((letter) => ({
    counter: "-abcde".indexOf(letter),
    startId: `start-${letter}`,
  }));
}

function hello(n: number, more: Partial<Hello> = {}): Hello {
  return {
    wants: "peer",
    protocol: { min: 1, max: 1 },
    features: { min: 1, max: 1 },
    version: "0.1.0",
    clusterId: CLUSTER,
    epoch: EPOCH,
    nodeId: `id${n}`,
    role: "agent",
    storeId: `store${n}`,
    incarnation: { counter: 4, startId: "start-d" },
    starts: starts("bcd"),
    ...more,
  };
}

function judge(greeting: Hello, state = ledger().state, canServe = greeting.role === "server") {
  const { nodeId } = greeting;
  const identity = { clusterId: CLUSTER, nodeId, canServe, notAfterMs: 0 };
  const verdict = judgePeer(state, greeting, identity);
  return "ok" in verdict ? "let in" : `${verdict.code}: ${verdict.why}`;
}

const asServer = { role: "server", raftId: 2, storeId: "store2" } as const;

t.test("a node that the state knows is let in", async (t) => {
  t.equal(judge(hello(1)), "let in");
  t.equal(judge(hello(2, asServer)), "let in");
});

t.test("a node without a copy of the state believes the certificate", async (t) => {
  t.equal(judge(hello(7), new State()), "let in");
  t.match(judge(hello(7, asServer), new State(), false), /^PEER_REFUSED: .*agent's/);
});

t.test("nobody is a server by his own word", async (t) => {
  t.match(judge(hello(2, asServer), ledger().state, false), /^PEER_REFUSED: .*an agent's/);
});

t.test("another history is another cluster", async (t) => {
  const epochs = [{ n: 2, random: EPOCH.random }, { n: 1, random: "00000000000000bb" }];
  for (const epoch of epochs) {
    t.match(judge(hello(1, { epoch })), /^EPOCH_MISMATCH/);
    t.match(judge(hello(1, { epoch, wants: "watch" })), /^EPOCH_MISMATCH/);
  }
  t.match(judge(hello(1, { epoch: epochs[1]! })), /neither goes on from the other/);
});

t.test("who watches comes up from an earlier epoch, and nobody else does", async (t) => {
  const later = ledger();
  later.reform();
  t.equal(judge(hello(1, { wants: "watch" }), later.state), "let in");
  t.match(judge(hello(1), later.state), /^EPOCH_MISMATCH: one side is in epoch 1, the other in 2/);
  t.match(judge(hello(2, asServer), later.state), /^EPOCH_MISMATCH/);
  t.equal(judge(hello(1, { epoch: LATER, starts: starts("e") }), later.state), "let in");
});

t.test("on hold a node is let in by its certificate alone, unless it was removed", async (t) => {
  const later = ledger();
  later.do({ kind: "node.remove", node: "id1" });
  later.reform();
  const watch = { wants: "watch" } as const;
  t.equal(judge(hello(9, watch), later.state), "let in");
  t.match(judge(hello(1, watch), later.state), /^NOT_A_MEMBER/);
  t.ok(isWelcome(later.state, "id9"));
  t.notOk(isWelcome(later.state, "id1"));
});

t.test("a program that cannot read the cluster's state is not let in", async (t) => {
  t.match(
    judge(hello(1, { features: { min: 2, max: 3 } })),
    /^UPGRADE_NEEDED: the cluster is at feature level 1, .* supports 2 to 3/,
  );
});

/** What one that asks answers to a server of another epoch, by how long it had no leader. */
const MINUTE_MS = 60_000;
const moves: readonly [string, Epoch, Epoch, number, string, Hello["wants"]?][] = [
  ["the own epoch", EPOCH, EPOCH, 0, "on"],
  ["a later one, while its own servers may come back", EPOCH, LATER, MINUTE_MS - 1, "not"],
  ["a later one, once they have had their time", EPOCH, LATER, MINUTE_MS, "on"],
  ["a later one, with a log of its own", EPOCH, LATER, 60 * MINUTE_MS, "not", "peer"],
  ["an earlier one", LATER, EPOCH, 60 * MINUTE_MS, "not"],
  ["one with the same number", EPOCH, { ...EPOCH, random: "cc" }, 60 * MINUTE_MS, "not"],
];

for (const [what, own, theirs, leaderlessMs, outcome, wants = "watch"] of moves) {
  t.test(`a server of ${what}: ${outcome === "on" ? "goes on with it" : "stays"}`, async (t) => {
    const verdict = judgeServer({ wants, epoch: own }, { epoch: theirs }, leaderlessMs);
    t.equal("ok" in verdict ? "on" : "not", outcome);
    if (!("ok" in verdict)) t.equal(verdict.code, "EPOCH_MISMATCH");
  });
}

t.test("a server is told how it comes into a later epoch, an agent how long it waits", async (t) => {
  const later = { epoch: LATER };
  const server = judgeServer({ wants: "peer", epoch: EPOCH }, later);
  t.ok("fix" in server && /denim rejoin/.test(server.fix!));
  const agent = judgeServer({ wants: "watch", epoch: EPOCH }, later, 20_000);
  t.ok("why" in agent && /have 40 s to come back/.test(agent.why!));
});

t.test("who is not known yet joined later than this state, and is let in", async (t) => {
  t.equal(judge(hello(9)), "let in");
});

t.test("who left or was removed stays outside", async (t) => {
  const after = ledger();
  after.do({ kind: "node.remove", node: "id1" });
  t.match(judge(hello(1), after.state), /^NOT_A_MEMBER/);
});

t.test("a server's raft id belongs to one store", async (t) => {
  const wrong = /^PEER_REFUSED: .*store/;
  t.match(judge(hello(2, { ...asServer, storeId: "another" })), wrong);
  t.equal(judge(hello(2, { ...asServer, raftId: 3 })), "let in", "it left the group and came back");
  const { storeId: _, ...without } = hello(2, asServer);
  t.match(judge(without), wrong);
  t.equal(judge(hello(1, { storeId: "another" })), "let in");
});

t.test("a greater raft id is that of a newer store than this node has heard of", async (t) => {
  t.equal(judge(hello(2, { ...asServer, raftId: 3, storeId: "newer" })), "let in");
  t.match(judge(hello(2, { ...asServer, raftId: 1, storeId: "older" })), /^PEER_REFUSED/);
});

t.test("who comes back without a store is a member by its certificate", async (t) => {
  const empty: Partial<Hello> = { wants: "rejoin", role: "server", starts: [] };
  t.equal(judge(hello(2, { ...empty, storeId: "empty" })), "let in");
  t.equal(judge(hello(2, { ...empty, epoch: { n: 0, random: "earlier" } })), "let in");
  t.match(judge(hello(2, { ...empty, epoch: LATER })), /^EPOCH_MISMATCH/);
  t.match(judge(hello(2, empty), ledger().state, false), /^PEER_REFUSED/);
  const after = ledger();
  after.do({ kind: "node.remove", node: "id2" });
  t.match(judge(hello(2, empty), after.state), /^NOT_A_MEMBER/);
});

t.test("a disk that is older than what the cluster has seen of it is refused", async (t) => {
  t.match(judge(hello(1, { starts: starts("b") })), /^PEER_REFUSED: .*older copy/);
  const copied = [...starts("b"), { counter: 3, startId: "start-x" }];
  t.match(judge(hello(1, { starts: copied })), /^PEER_REFUSED: .*older copy/);
  t.equal(judge(hello(1, { starts: starts("c") })), "let in");
});

t.test("a judge that knows older starts only is the one that is behind", async (t) => {
  t.equal(judge(hello(1, { starts: starts("de") })), "let in");
});
