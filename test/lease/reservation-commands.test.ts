import fc from "fast-check";
import t from "tap";
import { overlaps, parsePrefix } from "../../src/ip/prefix.ts";
import type { Command, LeaseAnswer } from "../../src/lease/command.ts";
import { movesOf } from "../../src/lease/reservation-commands.ts";
import { attributes, DAY_MS, HOUR_MS, joiner, Ledger, WALL_MS } from "../support/ledger.ts";

const reserve = (subnet: string, nodeName?: string): Command => ({
  ...{ kind: "reservation.put", subnet, ifFree: true },
  ...(nodeName === undefined ? {} : { nodeName }),
});
const release = (subnet: string): Command => ({ kind: "reservation.remove", subnet });
const move = (node: string, subnet: string): Command => ({ kind: "lease.move", node, subnet });
const acquire = (n: number): Command => ({
  ...{ kind: "lease.acquire", node: `id${n}`, attributes: attributes(n) },
});
const tokenFor = (subnet: string, tokenId = "t"): Command => ({
  ...{ kind: "token.create", tokenId, secretHash: "ff", role: "agent", uses: 1, subnet },
  expiresWallMs: WALL_MS + HOUR_MS,
});
const reserved = (ledger: Ledger) =>
  [...ledger.state.all("reservation")].map(({ key, body }) => ({ subnet: key, ...body }));

t.test("a subnet is set aside only where it is one, and nobody else has it", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  t.same(ledger.do(reserve("10.5.9.7/24", "host9")), { subnet: "10.5.9.0/24" });
  t.same(ledger.do(reserve("10.5.2.0/24", "host1")), { subnet: "10.5.2.0/24" }, "its holder may");
  t.throws(() => ledger.do(reserve("10.5.2.0/24", "host2")), { code: "LEASE_TAKEN" });
  for (const wrong of ["10.5.9.0/25", "10.9.0.0/24", "10.5.0.0/24", "x"]) {
    t.throws(() => ledger.do(reserve(wrong)), { code: "CONFIG_INVALID", fix: /network show/ });
  }
});

t.test("nobody's reservation is taken over, and saying it again changes nothing", async (t) => {
  const ledger = Ledger.open();
  ledger.do(reserve("10.5.9.0/24", "db"));
  const { revision } = ledger.state;
  ledger.do(reserve("10.5.9.0/24", "db"));
  t.equal(ledger.state.revision, revision);
  const why = "it is reserved for db";
  t.throws(() => ledger.do(reserve("10.5.9.0/24", "web")), { code: "LEASE_TAKEN", why });
  t.throws(() => ledger.do(reserve("10.5.9.0/24")), { code: "LEASE_TAKEN", why });
  ledger.do(release("10.5.9.9/24"));
  ledger.do(reserve("10.5.9.0/24"));
  t.throws(() => ledger.do(reserve("10.5.9.0/24", "web")), {
    code: "LEASE_TAKEN",
    why: "it is reserved for nobody",
  });
});

t.test("who wants a subnet free is told why it is not, and what would make it so", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  t.throws(() => ledger.do(release("10.5.9.0/24")), { code: "NOT_FOUND" });
  t.throws(() => ledger.do(release("10.5.2.0/24")), {
    ...{ code: "LEASE_TAKEN", why: "it is leased to host1" },
    fix: /^denim leave on host1, .*denim lease move host1/,
  });
  ledger.do({ kind: "node.silent", node: "id1", silent: true });
  t.throws(() => ledger.do(release("10.5.2.0/24")), {
    ...{ code: "LEASE_TAKEN", why: "it is leased to host1, which nobody hears" },
    fix: /denim node rm host1/,
  });
  ledger.do({ kind: "node.remove", node: "id1" });
  t.throws(() => ledger.do(release("10.5.2.0/24")), {
    ...{ code: "LEASE_TAKEN", fix: /^wait/ },
    why: `host1 may still use it until ${new Date(WALL_MS + 25 * HOUR_MS).toISOString()}`,
  });
  ledger.pass(25 * HOUR_MS);
  t.throws(() => ledger.do(release("10.5.2.0/24")), { code: "NOT_FOUND" });
});

t.test("a lease goes on when its reservation is given back", async (t) => {
  const ledger = Ledger.open();
  ledger.do(reserve("10.5.50.0/24", "host1"));
  t.equal(ledger.joinedSubnet(1), "10.5.50.0/24");
  ledger.do(release("10.5.50.0/24"));
  t.same(ledger.renew(1).subnets, ["10.5.50.0/24"]);
});

t.test("the subnet of a token is its joiner's, and stays so under its name", async (t) => {
  const ledger = Ledger.open();
  ledger.do(tokenFor("10.5.40.9/24"));
  t.same(reserved(ledger), [{ subnet: "10.5.40.0/24", tokenId: "t" }]);
  t.equal(ledger.joinedSubnet(1, { wish: ["10.5.40.0/24"] }), "10.5.2.0/24", "not a passer-by's");
  t.throws(() => ledger.do(reserve("10.5.40.0/24", "host1")), {
    code: "LEASE_TAKEN",
    why: /token t/,
  });
  t.throws(() => ledger.do(release("10.5.40.0/24")), {
    code: "REVISION_MISMATCH",
    fix: "denim token revoke t",
  });
  const { lease } = ledger.join(2, { wish: ["10.5.60.0/24"] }, "t");
  t.same(lease.subnets, ["10.5.40.0/24"]);
  t.same(reserved(ledger), [{ subnet: "10.5.40.0/24", nodeName: "host2" }]);
  const again = ledger.join(2, {}, "t");
  t.same(again.lease.subnets, ["10.5.40.0/24"], "also when it asks again");
  ledger.do({ kind: "token.revoke", tokenId: "t" });
  t.same(reserved(ledger).length, 1, "it is the node's now");
});

t.test("it counts for more than another reservation in the joiner's name", async (t) => {
  const ledger = Ledger.open();
  ledger.do(reserve("10.5.30.0/24", "host1"));
  ledger.do(tokenFor("10.5.40.0/24"));
  t.same(ledger.join(1, {}, "t").lease.subnets, ["10.5.40.0/24"]);
});

t.test("an ephemeral joiner has its lease, and leaves no reservation behind", async (t) => {
  const ledger = Ledger.open();
  ledger.do({ ...tokenFor("10.5.40.0/24"), ephemeral: true } as Command);
  const { lease } = ledger.join(1, {}, "t");
  t.same([lease.subnets, lease.ttlMs], [["10.5.40.0/24"], 10 * 60_000]);
  t.equal(ledger.state.get("node", "id1")?.body.ephemeral, true);
  t.same(reserved(ledger), []);
});

t.test("a token gives its subnet back when it is revoked, or ends unused", async (t) => {
  const ledger = Ledger.open();
  ledger.do(tokenFor("10.5.40.0/24"));
  ledger.do({ kind: "token.revoke", tokenId: "t" });
  t.same(reserved(ledger), []);
  ledger.do(tokenFor("10.5.40.0/24", "u"));
  ledger.do({ kind: "tick" }, HOUR_MS - 1);
  t.equal(reserved(ledger).length, 1);
  ledger.do({ kind: "tick" }, 1);
  t.same(reserved(ledger), []);
  t.equal(ledger.joinedSubnet(1, { wish: ["10.5.40.0/24"] }), "10.5.40.0/24");
});

t.test("a token has a subnet that its joiner could be given, and one use", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.do(reserve("10.5.30.0/24"));
  const cases: readonly (readonly [string, number | null, string])[] = [
    ["10.5.2.0/24", 1, "LEASE_TAKEN"],
    ["10.5.30.0/24", 1, "LEASE_TAKEN"],
    ["10.9.0.0/24", 1, "CONFIG_INVALID"],
    ["10.5.40.0/24", 2, "CONFIG_INVALID"],
    ["10.5.40.0/24", null, "CONFIG_INVALID"],
  ];
  for (const [subnet, uses, code] of cases) {
    t.throws(() => ledger.do({ ...tokenFor(subnet), uses } as Command), { code }, subnet);
  }
  ledger.do({ kind: "node.remove", node: "id1" });
  t.throws(() => ledger.do(tokenFor("10.5.2.0/24")), { code: "LEASE_TAKEN", why: /waits/ });
  t.equal(ledger.state.get("token", "t"), undefined);
});

t.test("a node that is moved gets that subnet when it asks, and no other", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  t.same(ledger.do(move("host1", "10.5.9.0/24")), {
    ...{ node: "id1", name: "host1", subnet: "10.5.9.0/24", from: ["10.5.2.0/24"] },
  });
  t.same(ledger.renew(1).subnets, ["10.5.2.0/24"], "until then it keeps what it has");
  t.same(movesOf(ledger.state, "id1", ledger.subnetsOf(1)), ["10.5.9.0/24"]);
  const answer = ledger.do(acquire(1)) as LeaseAnswer;
  t.same(answer.subnets, ["10.5.9.0/24"]);
  t.same(movesOf(ledger.state, "id1", ledger.subnetsOf(1)), []);
  t.same(ledger.do(acquire(1)), answer, "and again, if it has not heard the answer");
});

t.test("what it had waits for its containers, and is its own to go back to", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.do(move("id1", "10.5.9.0/24"));
  ledger.do(acquire(1));
  t.not(ledger.joinedSubnet(2, { wish: ["10.5.2.0/24"] }), "10.5.2.0/24");
  ledger.do(move("id1", "10.5.2.0/24"));
  t.same((ledger.do(acquire(1)) as LeaseAnswer).subnets, ["10.5.2.0/24"]);
  t.same(
    reserved(ledger).map(({ subnet }) => subnet),
    ["10.5.2.0/24"],
    "one reservation, the last",
  );
});

t.test("a node is not moved onto what others have, wait for, or have reserved", async (t) => {
  const ledger = Ledger.open();
  for (const n of [1, 2, 3]) ledger.join(n);
  ledger.do(reserve("10.5.30.0/24", "db"));
  ledger.do({ kind: "node.remove", node: "id3" });
  for (const subnet of ["10.5.3.0/24", "10.5.4.0/24", "10.5.30.0/24"]) {
    t.throws(() => ledger.do(move("host1", subnet)), { code: "LEASE_TAKEN" }, subnet);
  }
  t.throws(() => ledger.do(move("nobody", "10.5.9.0/24")), { code: "NOT_FOUND" });
  t.throws(() => ledger.do(move("host1", "10.9.9.0/24")), { code: "CONFIG_INVALID" });
  ledger.do(move("host1", "10.5.2.0/24"));
  t.same(movesOf(ledger.state, "id1", ledger.subnetsOf(1)), [], "where it is, it only stays");
});

t.test("a node that lost its subnet to another is let go on by a move", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.pass(DAY_MS);
  ledger.expireAll();
  ledger.pass(2 * HOUR_MS);
  ledger.do(reserve("10.5.2.0/24", "db"));
  const claim: Command = {
    ...{ kind: "lease.claim", node: "id1", subnets: ["10.5.2.0/24"], attributes: attributes(1) },
    ...{ epoch: { n: 1, random: "00000000000000aa" }, revision: 3, locallyValid: false },
  };
  t.throws(() => ledger.do(claim), { code: "LEASE_TAKEN" });
  ledger.do(move("host1", "10.5.9.0/24"));
  t.same((ledger.do(acquire(1)) as LeaseAnswer).subnets, ["10.5.9.0/24"]);
});

t.test("who comes by the name of a moved node is not moved", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.do(move("host1", "10.5.9.0/24"));
  ledger.do({ kind: "node.remove", node: "id1" });
  ledger.do(release("10.5.9.0/24"));
  const subnet = ledger.joinedSubnet(7, { name: "host1" });
  ledger.do(reserve("10.5.9.0/24", "host1"));
  t.same((ledger.do(acquire(7)) as LeaseAnswer).subnets, [subnet]);
});

/** Some lives of a small pool: whatever is done, a reservation never meets a lease of another. */
t.test("a token that one leader's clock had ended takes no reservation under another's", async (t) => {
  const ledger = Ledger.open();
  ledger.do(tokenFor("10.5.9.0/24"));
  ledger.wallMs += 2 * HOUR_MS;
  ledger.do({ kind: "tick" });
  t.same(reserved(ledger), []);
  ledger.do(reserve("10.5.9.0/24", "db"));
  ledger.wallMs -= 2 * HOUR_MS;
  t.throws(() => ledger.join(1, {}, "t"), { code: "LEASE_TAKEN", why: "it is reserved for db" });
  t.same(reserved(ledger), [{ subnet: "10.5.9.0/24", nodeName: "db" }]);
  ledger.do(release("10.5.9.0/24"));
  t.same(ledger.join(1, {}, "t").lease.subnets, ["10.5.9.0/24"], "nobody else wants it");
});

t.test("no reservation overlaps a lease of anybody but its owner", async (t) => {
  const host = fc.integer({ min: 1, max: 5 });
  const subnet = fc.integer({ min: 1, max: 6 }).map((n) => `10.5.${n}.0/24`);
  const tokenId = fc.constantFrom("t", "u", "v");
  const command: fc.Arbitrary<Command> = fc.oneof(
    host.map((n): Command => ({ kind: "node.join", tokenId: "open", node: joiner(n) })),
    fc.tuple(host, tokenId).map(([n, tokenId]): Command => ({
      ...{ kind: "node.join", tokenId, node: joiner(n) },
    })),
    host.map((n): Command => ({ kind: "node.leave", node: `id${n}` })),
    host.map((n): Command => ({ kind: "node.remove", node: `id${n}` })),
    host.map(acquire),
    fc.tuple(host, subnet).map(([n, subnet]): Command => ({
      ...{ kind: "lease.claim", node: `id${n}`, subnets: [subnet], attributes: attributes(n) },
      ...{ epoch: { n: 1, random: "00000000000000aa" }, revision: 1, locallyValid: true },
    })),
    fc.tuple(host, subnet).map(([n, subnet]) => move(`id${n}`, subnet)),
    fc.tuple(host, subnet).map(([n, subnet]) => reserve(subnet, `host${n}`)),
    subnet.map((subnet) => reserve(subnet)),
    subnet.map((subnet): Command => ({ kind: "reservation.put", subnet, nodeName: "other" })),
    subnet.map(release),
    fc.tuple(subnet, tokenId).map(([subnet, id]) => tokenFor(subnet, id)),
    tokenId.map((tokenId): Command => ({ kind: "token.revoke", tokenId })),
  );
  const elapsed = fc.constantFrom(0, 0, 60_000, HOUR_MS);
  const counts = { met: 0, moved: 0, joined: 0 };
  fc.assert(
    fc.property(fc.array(fc.tuple(command, elapsed), { maxLength: 60, size: "max" }), (steps) => {
      const ledger = Ledger.open(
        '{"Network":"10.5.0.0/16","SubnetMax":"10.5.6.0","LeaseTTL":"2h",' +
          '"Backend":{"Type":"host-gw"}}',
      );
      for (const [command, elapsedMs] of steps) {
        const { answer } = ledger.enter(command, elapsedMs);
        ledger.expireAll();
        if (answer.ok && command.kind === "lease.move") counts.moved++;
        if (answer.ok && command.kind === "node.join" && command.tokenId !== "open") {
          counts.joined++;
        }
        for (const { key, body } of ledger.state.all("reservation")) {
          for (const lease of ledger.state.all("lease")) {
            if (!lease.body.subnets.some((s) => overlaps(parsePrefix(s), parsePrefix(key)))) {
              continue;
            }
            counts.met++;
            const holder = ledger.state.get("node", lease.body.node)?.body.name;
            if (holder === undefined || holder !== body.nodeName) return false;
          }
        }
      }
      return true;
    }),
    { numRuns: 300 },
  );
  for (const [what, count] of Object.entries(counts)) t.ok(count > 20, `${what}: ${count}`);
});
