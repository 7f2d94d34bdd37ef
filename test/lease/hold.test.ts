import t from "tap";
import type { Command } from "../../src/lease/command.ts";
import { leasesOfThisEpoch, rankOf } from "../../src/lease/hold.ts";
import { theCluster } from "../../src/lease/state.ts";
import {
  attributes,
  DAY_MS,
  EPOCH,
  HOUR_MS,
  joiner,
  LATER,
  Ledger,
  NETWORK,
  OPEN_TOKEN,
  WALL_MS,
} from "../support/ledger.ts";

/** Hosts 1 to 3 have leases; host 3 has claimed its own in the new epoch. */
function onHold(): Ledger {
  const ledger = Ledger.open();
  for (const n of [1, 2, 3]) ledger.join(n);
  ledger.do({ kind: "reservation.put", subnet: "10.5.9.0/24" });
  ledger.reform();
  ledger.do(claim(3, "10.5.4.0/24", 5));
  return ledger;
}

function claim(n: number, subnet: string, revision: number, locallyValid = true): Command {
  return {
    kind: "lease.claim",
    ...{ node: `id${n}`, subnets: [subnet], attributes: attributes(n) },
    ...{ epoch: EPOCH, revision, locallyValid },
  };
}

const release = (early: boolean, epoch = LATER): Command => {
  return { kind: "cluster.release-hold", epoch, early };
};

const acquire = (n: number): Command => {
  return { kind: "lease.acquire", node: `id${n}`, attributes: attributes(n) };
};

const { name, address, version, features } = joiner(7);
const readmit: Command = {
  kind: "node.readmit",
  ...{ node: "id7", name, role: "agent", address, version, features },
};

/** What is done while the cluster is on hold, and what comes of it. */
const commands: readonly [string, Command, string][] = [
  ["a claim of one that is sure", claim(1, "10.5.2.0/24", 3), "done"],
  ["a claim of one that is not", claim(1, "10.5.2.0/24", 3, false), "ON_HOLD"],
  ["a first lease", acquire(1), "ON_HOLD"],
  ["a lease that was claimed, asked for again", acquire(3), "done"],
  [
    "a renewal of what was not claimed",
    { kind: "lease.renew", node: "id1", subnets: ["10.5.2.0/24"] },
    "EPOCH_MISMATCH",
  ],
  [
    "a renewal of what was claimed",
    { kind: "lease.renew", node: "id3", subnets: ["10.5.4.0/24"] },
    "done",
  ],
  ["a release", { kind: "lease.release", node: "id1", subnets: ["10.5.2.0/24"] }, "done"],
  ["a new host", { kind: "node.join", tokenId: "open", node: joiner(8) }, "ON_HOLD"],
  [
    "a new host in another's place",
    { kind: "node.join", tokenId: "open", node: joiner(8, { replace: "host1" }) },
    "ON_HOLD",
  ],
  ["a host whose join was lost", readmit, "done"],
  ["its facts before that", { kind: "node.update", node: "id7", version: "2" }, "EPOCH_MISMATCH"],
  ["the facts of a member", { kind: "node.update", node: "id1", version: "2" }, "done"],
  ["a silence", { kind: "node.silent", node: "id1", silent: true }, "done"],
  ["a farewell", { kind: "node.leave", node: "id1" }, "done"],
  ["a removal by others", { kind: "node.remove", node: "id1" }, "done"],
  ["another network", { kind: "network.set", config: NETWORK }, "ON_HOLD"],
  ["a subnet set aside", { kind: "reservation.put", subnet: "10.5.8.0/24" }, "ON_HOLD"],
  ["a reservation lifted", { kind: "reservation.remove", subnet: "10.5.9.0/24" }, "done"],
  ["a token", { ...OPEN_TOKEN, tokenId: "next" }, "done"],
  ["a token revoked", { kind: "token.revoke", tokenId: "open" }, "done"],
  ["a higher feature level", { kind: "cluster.raise-level", to: 2 }, "ON_HOLD"],
  ["the end of an earlier hold", release(true, EPOCH), "EPOCH_MISMATCH"],
];

for (const [what, command, outcome] of commands) {
  t.test(`on hold: ${what}`, async (t) => {
    const { answer } = onHold().enter(command);
    t.equal(answer.ok ? "done" : answer.error.code, outcome);
  });
}

t.test("nothing expires before the hold is over, however long that is", async (t) => {
  const ledger = onHold();
  ledger.pass(3 * DAY_MS);
  ledger.expireAll();
  t.same([1, 2, 3].map((n) => ledger.subnetsOf(n).length), [1, 1, 1]);
  ledger.do(release(false));
  ledger.expireAll();
  t.same([1, 2, 3].map((n) => ledger.subnetsOf(n).length), [0, 0, 0]);
  const freed = ledger.state.get("freed", "10.5.2.0/24")?.body;
  t.same([freed?.how, freed?.quarantineEndsMs], ["expired", 3 * DAY_MS + HOUR_MS]);
});

t.test("the hold ends by the lease clock, not before", async (t) => {
  const ledger = onHold();
  const isOn = () => ledger.state.get("hold", "it") !== undefined;
  ledger.pass(DAY_MS - 1);
  t.equal(ledger.do(release(false)), null);
  t.ok(isOn());
  ledger.pass(1);
  t.same(ledger.do(release(false)), { claimed: 1, unclaimed: 3 });
  t.notOk(isOn());
  t.equal(ledger.do(release(false)), null, "twice");
  t.equal(ledger.joinedSubnet(8), "10.5.5.0/24");
});

t.test("every lease stands until the hold's end, and a claimed one for its own time", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.join(2);
  ledger.pass(23 * HOUR_MS);
  ledger.reform();
  t.equal(ledger.deadlineOf(1), 47 * HOUR_MS);
  ledger.pass(20 * HOUR_MS);
  ledger.do(claim(1, "10.5.2.0/24", 3));
  t.equal(ledger.deadlineOf(1), 67 * HOUR_MS);
  t.equal(ledger.deadlineOf(2), 47 * HOUR_MS);
});

t.test("ended early, leases still stand for as long as somebody may believe in them", async (t) => {
  const ledger = onHold();
  ledger.pass(HOUR_MS);
  ledger.do(release(true));
  ledger.expireAll();
  t.equal(ledger.deadlineOf(1), DAY_MS);
  t.equal(ledger.joinedSubnet(8, { wish: ["10.5.2.0/24"] }), "10.5.5.0/24");
  ledger.pass(DAY_MS);
  ledger.expireAll();
  t.same(ledger.subnetsOf(1), []);
});

t.test("what an early end risks: a subnet that only its lost holder knows of", async (t) => {
  const ledger = Ledger.open();
  const saved = ledger.copy();
  t.equal(ledger.joinedSubnet(1), "10.5.2.0/24");
  saved.reform();
  saved.do(release(true));
  t.equal(
    saved.joinedSubnet(2),
    "10.5.2.0/24",
    "while host 1 may still believe that it is its own",
  );
});

t.test("a claim counts as made at the end of the hold: no other outdoes it then", async (t) => {
  const ledger = onHold();
  ledger.do(release(true));
  const fork = { n: 2, random: "cc" };
  ledger.do({ kind: "cluster.fork-seen", epoch: LATER, other: fork });
  ledger.do({ kind: "lease.release", node: "id1", subnets: ledger.subnetsOf(1) });
  const late = ledger.enter(claim(1, "10.5.4.0/24", 99)).answer;
  t.ok(!late.ok && late.error.code === "LEASE_TAKEN");
});

t.test("revisions of all epochs are in one order", async (t) => {
  const ledger = onHold();
  const cluster = () => theCluster(ledger.state)!;
  const reformedAt = ledger.index - 1;
  t.same(rankOf(cluster(), 5), { n: 1, revision: 5 });
  t.same(rankOf(cluster(), reformedAt - 1).n, 1);
  t.same(rankOf(cluster(), reformedAt).n, 2);
  ledger.reform({ n: 7, random: "cc" });
  t.same(rankOf(cluster(), reformedAt).n, 2);
  t.same(rankOf(cluster(), ledger.index).n, 7);
  t.same(leasesOfThisEpoch(ledger.state), []);
});

t.test("a node that the state has lost is let in by its certificate, without a lease", async (t) => {
  const ledger = onHold();
  ledger.do(readmit);
  const node = ledger.state.get("node", "id7")!.body;
  t.same([node.name, node.role, node.raftId], ["host7", "agent", undefined]);
  t.equal(node.certificateEndsWallMs, WALL_MS + 90 * DAY_MS);
  t.same(ledger.subnetsOf(7), []);
  t.equal(ledger.enter(readmit).changes.length, 0, "once");
  ledger.do(claim(7, "10.5.8.0/24", 8));
  t.same(ledger.subnetsOf(7), ["10.5.8.0/24"]);
  const taken = { ...readmit, node: "id6" } as Command;
  ledger.do(taken);
  t.equal(ledger.state.get("node", "id6")?.body.name, "host7-2");
});

t.test("one that was removed is not, nor anybody outside a hold", async (t) => {
  const ledger = onHold();
  ledger.do(readmit);
  ledger.do({ kind: "node.remove", node: "id7" });
  t.throws(() => ledger.do(readmit), { code: "NOT_A_MEMBER", why: "it left, or was removed" });
  ledger.do(release(true));
  t.throws(() => ledger.do({ ...readmit, node: "id6" } as Command), { code: "NOT_A_MEMBER" });
});

t.test("a removed node is remembered until its last certificate has ended", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1, { certificateEndsWallMs: WALL_MS + DAY_MS });
  ledger.join(2);
  ledger.do({ kind: "node.remove", node: "id1" });
  ledger.reform();
  t.throws(() => ledger.do({ ...readmit, node: "id1" } as Command), { code: "NOT_A_MEMBER" });
  ledger.wallMs += 2 * DAY_MS + 1;
  ledger.do({ kind: "node.remove", node: "id2" });
  t.equal(ledger.state.get("tombstone", "id1"), undefined);
  t.ok(ledger.state.get("tombstone", "id2"));
});
