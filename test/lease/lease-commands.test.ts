import t from "tap";
import type { Command, LeaseAnswer } from "../../src/lease/command.ts";
import type { Epoch } from "../../src/lease/records.ts";
import { attributes, DAY_MS, EPOCH, HOUR_MS, Ledger } from "../support/ledger.ts";

const SUBNET = "10.5.2.0/24";

function withHost(...hosts: number[]): Ledger {
  const ledger = Ledger.open();
  for (const n of hosts) ledger.join(n);
  return ledger;
}

function acquire(ledger: Ledger, n: number, wish: string[] = []): LeaseAnswer {
  const command: Command = { kind: "lease.acquire", node: `id${n}`, attributes: attributes(n) };
  return ledger.do({ ...command, wish }) as LeaseAnswer;
}

function claim(ledger: Ledger, n: number, subnet = SUBNET, epoch: Epoch = EPOCH): LeaseAnswer {
  return ledger.do({
    ...{ kind: "lease.claim", node: `id${n}`, subnets: [subnet], attributes: attributes(n) },
    ...{ epoch, revision: 3, locallyValid: false },
  } as Command) as LeaseAnswer;
}

/** Host 1 expires, hosts 0 and 2 do not. */
function afterExpiry(): Ledger {
  const ledger = withHost(1, 2);
  ledger.pass(DAY_MS - 1);
  ledger.renew(0);
  ledger.renew(2);
  ledger.pass(1);
  ledger.expireAll();
  return ledger;
}

t.test("a renewal moves the deadline: no revision, no event", async (t) => {
  const ledger = withHost(1);
  const { revision } = ledger.state;
  const renew: Command = { kind: "lease.renew", node: "id1", subnets: [SUBNET] };
  const { changes, answer } = ledger.enter(renew, HOUR_MS);
  t.same(changes.map(({ table }) => table), ["deadline"]);
  t.equal(ledger.state.revision, revision);
  t.equal(ledger.deadlineOf(1), DAY_MS + HOUR_MS);
  t.ok(answer.ok);
});

t.test("a renewal with other attributes is an event, with the same ones it is none", async (t) => {
  const ledger = withHost(1);
  const renew = (backendData: string) =>
    ledger.enter({
      ...{ kind: "lease.renew", node: "id1", subnets: [SUBNET] },
      attributes: { ...attributes(1), backendData },
    } as Command).changes.map(({ table }) => table);
  t.same(renew("null"), ["deadline"]);
  t.same(renew('{"mac":1}'), ["lease", "deadline"]);
  t.equal(ledger.state.get("lease", SUBNET)?.modRevision, ledger.index);
  t.equal(ledger.state.get("lease", SUBNET)?.createRevision, 3);
});

t.test("a renewal may not take another's address", async (t) => {
  const ledger = withHost(1, 2);
  const command = { kind: "lease.renew", node: "id1", subnets: [SUBNET] } as const;
  t.throws(() => ledger.do({ ...command, attributes: attributes(2) }), {
    code: "PUBLIC_IP_TAKEN",
  });
});

t.test("a renewal of what has ended says so", async (t) => {
  const ledger = afterExpiry();
  t.throws(() => ledger.do({ kind: "lease.renew", node: "id1", subnets: [SUBNET] }), {
    code: "LEASE_LOST",
    why: "it was not renewed in time, or was taken away",
  });
  t.throws(() => ledger.do({ kind: "lease.renew", node: "id2", subnets: [SUBNET] }), {
    code: "LEASE_LOST",
    why: "the node holds 10.5.3.0/24",
  });
});

t.test("to acquire again gives what is held", async (t) => {
  const ledger = withHost(1);
  t.same(acquire(ledger, 1, ["10.5.99.0/24"]).subnets, [SUBNET]);
  t.equal(acquire(ledger, 1).revision, 3);
});

t.test("a shorter TTL does not move a deadline that a holder still believes in", async (t) => {
  const ledger = withHost(1);
  const config = '{"Network":"10.5.0.0/16","LeaseTTL":"1h","Backend":{"Type":"host-gw"}}';
  ledger.do({ kind: "network.set", config });
  // Should this answer be lost, the holder goes on with the 24 h that it was told at first.
  t.equal(ledger.renew(1, HOUR_MS).ttlMs, HOUR_MS);
  t.equal(ledger.deadlineOf(1), DAY_MS);
  ledger.pass(23 * HOUR_MS);
  ledger.renew(1);
  t.equal(ledger.deadlineOf(1), DAY_MS + HOUR_MS, "from then on the new one counts");
});

t.test("expiry needs the revision and the deadline", async (t) => {
  const ledger = withHost(1);
  const expire = (revision: number) =>
    ledger.do({
      kind: "lease.expire",
      leases: [{ key: SUBNET, revision }],
    });
  ledger.pass(DAY_MS - 1);
  t.same(expire(3), [], "one millisecond early");
  ledger.pass(1);
  t.same(expire(2), [], "decided about an earlier lease");
  ledger.renew(1);
  t.same(expire(3), [], "overtaken by a renewal");
  ledger.pass(DAY_MS);
  t.same(expire(3), [SUBNET]);
  t.same(expire(3), [], "twice");
  t.equal(ledger.state.get("deadline", SUBNET), undefined);
  const freed = ledger.state.get("freed", SUBNET)?.body;
  t.same([freed?.how, freed?.node, freed?.quarantineEndsMs], [
    "expired",
    "id1",
    2 * DAY_MS + HOUR_MS,
  ]);
});

t.test("a release frees at once, and only the lease that was meant", async (t) => {
  const ledger = withHost(1);
  const release = (revision?: number) =>
    ledger.do({
      ...{ kind: "lease.release", node: "id1", subnets: [SUBNET] },
      ...(revision === undefined ? {} : { revision }),
    } as Command);
  release(3);
  t.equal(ledger.joinedSubnet(2, { wish: [SUBNET] }), SUBNET);
  ledger.do({ kind: "lease.release", node: "id2", subnets: [SUBNET] });
  const second = acquire(ledger, 1, [SUBNET]);
  t.same(second.subnets, [SUBNET]);
  release(3);
  t.same(ledger.subnetsOf(1), [SUBNET], "a release that was held up on its way");
  release(second.revision);
  t.same(ledger.subnetsOf(1), []);
  release();
  t.same(ledger.subnetsOf(1), []);
});

t.test("an ephemeral node goes with its lease, and its subnet waits", async (t) => {
  const ledger = Ledger.open();
  const { lease } = ledger.join(1, { ephemeral: true });
  t.equal(lease.ttlMs, 600_000);
  ledger.pass(600_000);
  ledger.expireAll();
  t.equal(ledger.state.get("node", "id1"), undefined);
  t.equal(ledger.state.get("tombstone", "id1")?.body.name, "host1");
  const freed = ledger.state.get("freed", SUBNET)?.body;
  t.same([freed?.how, freed?.quarantineEndsMs], ["removed", 600_000 + 60_000]);
  t.equal(ledger.joinedSubnet(2, { wish: [SUBNET] }), "10.5.3.0/24");
  ledger.pass(60_000);
  t.equal(ledger.joinedSubnet(3, { wish: [SUBNET] }), SUBNET);
});

t.test("who is no member has no lease", async (t) => {
  const ledger = Ledger.open();
  t.throws(() => acquire(ledger, 7), {
    code: "NOT_A_MEMBER",
    why: "no such node ever joined",
  });
  t.throws(() => ledger.do({ kind: "lease.renew", node: "id7", subnets: [SUBNET] }), {
    code: "NOT_A_MEMBER",
  });
  t.throws(() => claim(ledger, 7), { code: "NOT_A_MEMBER" });
});
