import t from "tap";
import type { Command, LeaseAnswer } from "../../src/lease/command.ts";
import type { Epoch } from "../../src/lease/records.ts";
import { attributes, DAY_MS, EPOCH, HOUR_MS, LATER, Ledger } from "../support/ledger.ts";

const SUBNET = "10.5.2.0/24";

interface Claimed {
  readonly subnet?: string;
  readonly epoch?: Epoch;
  readonly revision?: number;
  readonly locallyValid?: boolean;
  readonly address?: number;
}

function claimOf(n: number, claimed: Claimed = {}): Command {
  const { subnet = SUBNET, epoch = EPOCH, revision = 3, locallyValid = true } = claimed;
  return {
    ...{ kind: "lease.claim", node: `id${n}`, subnets: [subnet] },
    ...{ attributes: attributes(claimed.address ?? n), epoch, revision, locallyValid },
  };
}

function claim(ledger: Ledger, n: number, claimed: Claimed = {}): LeaseAnswer {
  return ledger.do(claimOf(n, claimed)) as LeaseAnswer;
}

/** Hosts 1 to 3 hold 10.5.2.0 to 10.5.4.0, granted at revisions 3 to 5. */
function threeHosts(): Ledger {
  const ledger = Ledger.open();
  for (const n of [1, 2, 3]) ledger.join(n);
  return ledger;
}

/** Host 1 expires, hosts 0 and 2 do not. */
function afterExpiry(): Ledger {
  const ledger = Ledger.open();
  for (const n of [1, 2]) ledger.join(n);
  ledger.pass(DAY_MS - 1);
  ledger.renew(0);
  ledger.renew(2);
  ledger.pass(1);
  ledger.expireAll();
  return ledger;
}

t.test("after expiry the same node gets the same subnet back", async (t) => {
  const ledger = afterExpiry();
  t.same(claim(ledger, 1).subnets, [SUBNET]);
  t.equal(ledger.state.get("freed", SUBNET), undefined);
  t.equal(ledger.deadlineOf(1), 2 * DAY_MS);
  t.same(claim(ledger, 1).revision, ledger.index - 1, "to claim what is held renews it");
});

t.test("a subnet that went to another is not claimed back", async (t) => {
  const ledger = afterExpiry();
  ledger.pass(HOUR_MS);
  ledger.join(3, { wish: [SUBNET] });
  t.throws(() => claim(ledger, 1), {
    code: "LEASE_TAKEN",
    message: "10.5.2.0/24 is taken",
    why: "it is leased to host3",
  });
  t.same(ledger.subnetsOf(1), [], "and it is not renumbered");
});

t.test("a claim on what others may use, or set aside, is refused", async (t) => {
  const ledger = afterExpiry();
  t.throws(() => claim(ledger, 2), { code: "LEASE_TAKEN", why: /waits out the time/ });
  ledger.do({ kind: "reservation.put", subnet: "10.5.9.0/24", nodeName: "host9" });
  t.throws(() => claim(ledger, 1, { subnet: "10.5.9.0/24" }), {
    code: "LEASE_TAKEN",
    why: "it is reserved for host9",
  });
  t.throws(() => claim(ledger, 1, { subnet: "10.9.9.0/24" }), {
    code: "LEASE_TAKEN",
    why: /outside/,
  });
  t.throws(() => claim(ledger, 2, { subnet: "10.5.44.0/24" }), {
    code: "LEASE_TAKEN",
    why: "the node holds 10.5.3.0/24",
  });
  t.throws(() => claim(ledger, 1, { subnet: "10.5.3.0/25" }), {
    code: "LEASE_TAKEN",
    why: /host2/,
  });
});

t.test("a claim from another history is refused", async (t) => {
  const ledger = afterExpiry();
  t.throws(() => claim(ledger, 1, { epoch: { n: 1, random: "fork" } }), { code: "EPOCH_MISMATCH" });
  t.throws(() => claim(ledger, 1, { epoch: LATER }), { code: "EPOCH_MISMATCH" });
});

t.test("in a hold a holder that is sure gets its lease at once, under a new revision", async (t) => {
  const ledger = threeHosts();
  ledger.reform();
  const answer = claim(ledger, 1);
  t.same(answer, {
    ...{ node: "id1", subnets: [SUBNET], revision: ledger.index, ttlMs: DAY_MS },
    epoch: LATER,
  });
  t.equal(ledger.state.get("lease", SUBNET)?.createRevision, 3);
  const again = claim(ledger, 1, { epoch: LATER, revision: answer.revision, locallyValid: false });
  t.equal(again.revision, answer.revision, "what was claimed is held like any lease");
  t.equal(ledger.renew(1).revision, answer.revision);
});

t.test("one that is not sure waits for the end of the hold, and then is like any other", async (t) => {
  const ledger = threeHosts();
  ledger.reform();
  t.throws(() => claim(ledger, 1, { locallyValid: false }), {
    code: "ON_HOLD",
    why: /^it was recovered from one server, .* it ends on 2024-07-04T09:46:40.000Z at the/,
  });
  ledger.pass(DAY_MS);
  t.throws(() => claim(ledger, 1, { locallyValid: false }), { code: "ON_HOLD" });
  ledger.do({ kind: "cluster.release-hold", epoch: LATER, early: false });
  t.same(claim(ledger, 1, { locallyValid: false }).subnets, [SUBNET]);
});

t.test("a lease that the state has lost is claimed like one that it knows", async (t) => {
  const ledger = threeHosts();
  ledger.do({ kind: "lease.release", node: "id1", subnets: [SUBNET] });
  ledger.do({ kind: "reservation.put", subnet: "10.5.9.0/24", nodeName: "db" });
  ledger.reform();
  const answer = claim(ledger, 1, { subnet: "10.5.9.0/24", revision: 999 });
  t.same(answer.subnets, ["10.5.9.0/24"], "a live holder counts for more than a reservation");
  t.throws(() => claim(ledger, 2, { subnet: "10.77.1.0/24", revision: 999 }), {
    code: "LEASE_TAKEN",
    why: /outside the network/,
  });
});

/** Who has the subnet after the claims, and how each of them was answered. */
const contests: readonly [string, readonly Command[], string, readonly string[]][] = [
  ["the state's own holder is outdone by a later one", [claimOf(2, { revision: 9 })], "id2", [
    "ok",
  ]],
  ["but not by an earlier one", [claimOf(2, { revision: 2 })], "id1", ["LEASE_TAKEN"]],
  ["and not by an equal one", [claimOf(2, { revision: 3 })], "id1", ["LEASE_TAKEN"]],
  [
    "of two equal claims the first stays",
    [
      claimOf(2, { revision: 9 }),
      claimOf(3, { revision: 9 }),
    ],
    "id2",
    ["ok", "LEASE_TAKEN"],
  ],
  [
    "a lesser one after a greater one is refused",
    [
      claimOf(2, { revision: 9 }),
      claimOf(1, { revision: 8 }),
    ],
    "id2",
    ["ok", "LEASE_TAKEN"],
  ],
  [
    "a greater one takes the place, but is not trusted yet",
    [
      claimOf(2, { revision: 9 }),
      claimOf(3, { revision: 10 }),
    ],
    "id3",
    ["ok", "fenced"],
  ],
  [
    "an earlier epoch loses whatever its revision is",
    [
      claimOf(2, { epoch: LATER, revision: 2e9 }),
      claimOf(3, { revision: 3e9 }),
    ],
    "id2",
    ["ok", "LEASE_TAKEN"],
  ],
  [
    "a history that did not lead here waits",
    [
      claimOf(2, { epoch: { n: 2, random: "fork" }, revision: 2e9 }),
    ],
    "id1",
    ["ON_HOLD"],
  ],
  [
    "one beside this one is refused",
    [
      claimOf(2, { epoch: { n: 3, random: "fork" }, revision: 2e9 }),
    ],
    "id1",
    ["EPOCH_MISMATCH"],
  ],
  ["one after this one, too", [claimOf(2, { epoch: { n: 4, random: "cc" } })], "id1", [
    "EPOCH_MISMATCH",
  ]],
];

for (const [name, claims, holder, outcomes] of contests) {
  t.test(`claims of one subnet: ${name}`, async (t) => {
    const ledger = threeHosts();
    // Hosts 2 and 3 have no other lease that they would have to give up.
    for (const n of [2, 3]) {
      ledger.do({ kind: "lease.release", node: `id${n}`, subnets: ledger.subnetsOf(n) });
    }
    ledger.reform();
    ledger.reform({ n: 3, random: "cc" });
    const answers = claims.map((command) => ledger.enter(command).answer);
    t.same(
      answers.map((answer) =>
        !answer.ok ? answer.error.code : (answer.value as LeaseAnswer).ttlMs === 0 ? "fenced" : "ok"
      ),
      outcomes,
    );
    t.equal(ledger.state.get("lease", SUBNET)?.body.node, holder);
  });
}

t.test("who was outdone is told so, and its successor waits until it must know", async (t) => {
  const ledger = threeHosts();
  ledger.do({ kind: "lease.release", node: "id2", subnets: ledger.subnetsOf(2) });
  ledger.reform();
  const first = claim(ledger, 1);
  ledger.pass(HOUR_MS);
  t.equal(ledger.renew(1).ttlMs, DAY_MS);
  t.equal(claim(ledger, 2, { revision: 9 }).ttlMs, 0);
  const renewal = { kind: "lease.renew", node: "id1", subnets: [SUBNET] } as const;
  t.throws(() => ledger.do(renewal), { code: "EPOCH_MISMATCH" });
  const own = { epoch: LATER, revision: first.revision };
  t.throws(() => claim(ledger, 1, own), { code: "ON_HOLD" }, "not by this epoch's own revision");
  ledger.pass(DAY_MS);
  ledger.do({ kind: "cluster.release-hold", epoch: LATER, early: false });
  t.throws(() => claim(ledger, 1, own), { code: "LEASE_TAKEN", why: "it is leased to host2" });
  t.equal(ledger.renew(2).ttlMs, 0, "host 1 may have believed until now, by the slower clock");
  ledger.pass(HOUR_MS);
  t.equal(ledger.renew(2).ttlMs, DAY_MS);
});

t.test("what such a successor gives back is nobody's before that either", async (t) => {
  const ledger = threeHosts();
  ledger.do({ kind: "lease.release", node: "id2", subnets: ledger.subnetsOf(2) });
  ledger.reform();
  claim(ledger, 1);
  claim(ledger, 2, { revision: 9 });
  ledger.do({ kind: "lease.release", node: "id2", subnets: [SUBNET] });
  ledger.do({ kind: "cluster.release-hold", epoch: LATER, early: true });
  t.not(ledger.joinedSubnet(9, { wish: [SUBNET] }), SUBNET);
  t.throws(() => claim(ledger, 2, { revision: 9 }), { code: "LEASE_TAKEN", why: /waits/ });
});

t.test("a node that had moved to another subnet gives up what the state has for it", async (t) => {
  const ledger = threeHosts();
  ledger.reform();
  const moved = { subnet: "10.5.9.0/24", revision: 9 };
  t.same(claim(ledger, 1, moved).subnets, ["10.5.9.0/24"]);
  t.equal(ledger.state.get("lease", SUBNET), undefined);
  t.same(claim(ledger, 2, { revision: 8 }).subnets, [SUBNET], "whoever got it then has it");
  t.throws(() => claim(ledger, 3, { subnet: "10.5.44.0/24", revision: 2 }), {
    code: "LEASE_TAKEN",
    why: "the node holds 10.5.4.0/24",
  }, "a disk that is older than the state");
});

t.test("an address that went to another host counts like a subnet", async (t) => {
  const ledger = threeHosts();
  ledger.reform();
  t.throws(() => claim(ledger, 2, { subnet: "10.5.3.0/24", revision: 2, address: 1 }), {
    code: "LEASE_TAKEN",
    why: "it is leased to host1",
  });
  const later = { subnet: "10.5.3.0/24", revision: 9, address: 1 };
  t.equal(claim(ledger, 2, later).ttlMs, DAY_MS);
  t.same(ledger.subnetsOf(1), []);
  t.same(claim(ledger, 1, { revision: 8, address: 77 }).subnets, [SUBNET], "it has moved since");
});

t.test("what was taken by force in the hold waits out the hold", async (t) => {
  const ledger = threeHosts();
  ledger.reform();
  ledger.do({ kind: "node.remove", node: "id1" });
  t.equal(ledger.state.get("freed", SUBNET)?.body.quarantineEndsMs, DAY_MS + HOUR_MS);
  t.throws(() => claim(ledger, 1), { code: "NOT_A_MEMBER", why: "it left, or was removed" });
  t.throws(() => claim(ledger, 2, { revision: 9 }), { code: "LEASE_TAKEN", why: /waits/ });
});
