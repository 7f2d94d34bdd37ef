import fc from "fast-check";
import process from "node:process";
import t from "tap";
import { overlaps, parsePrefix } from "../../src/ip/prefix.ts";
import type { Command } from "../../src/lease/command.ts";
import { attributes, DAY_MS, HOUR_MS, joiner, Ledger, NETWORK } from "../support/ledger.ts";

/** Host 0 made the cluster and has the first; three are left. */
const SMALL = '{"Network":"10.5.0.0/16","SubnetMax":"10.5.4.0","Backend":{"Type":"host-gw"}}';

const release = (ledger: Ledger, n: number): Command => ({
  kind: "lease.release",
  node: `id${n}`,
  subnets: ledger.subnetsOf(n),
});

const reserve = (subnet: string, nodeName?: string): Command => ({
  kind: "reservation.put",
  subnet,
  ...(nodeName === undefined ? {} : { nodeName }),
});

t.test("a subnet that nobody ever had comes first, the lowest before others", async (t) => {
  const ledger = Ledger.open();
  t.same([0, 1, 2].map((n) => n === 0 ? ledger.subnetsOf(0).join() : ledger.joinedSubnet(n)), [
    "10.5.1.0/24",
    "10.5.2.0/24",
    "10.5.3.0/24",
  ]);
  ledger.do(release(ledger, 1));
  t.equal(
    ledger.joinedSubnet(4),
    "10.5.4.0/24",
    "a used one is not given again while others are new",
  );
});

t.test("a wish is granted where it is free, and skipped where it is not", async (t) => {
  const ledger = Ledger.open();
  t.equal(ledger.joinedSubnet(1, { wish: ["10.5.77.0/24"] }), "10.5.77.0/24");
  t.equal(ledger.joinedSubnet(2, { wish: ["10.5.77.0/24", "10.5.78.0/24"] }), "10.5.78.0/24");
  const useless = ["nonsense", "10.9.0.0/24", "10.5.80.0/25", "10.5.0.0/24", "fd00::/64"];
  t.equal(ledger.joinedSubnet(3, { wish: useless }), "10.5.2.0/24");
  t.equal(ledger.joinedSubnet(4, { wish: ["10.5.90.7/24"] }), "10.5.90.0/24");
});

t.test("a reservation in the node's name comes before its wish", async (t) => {
  const ledger = Ledger.open();
  ledger.do(reserve("10.5.50.0/24", "host1"));
  t.equal(ledger.joinedSubnet(1, { wish: ["10.5.60.0/24"] }), "10.5.50.0/24");
});

t.test("a subnet that is reserved for another, or for nobody, is never given away", async (t) => {
  const ledger = Ledger.open(SMALL);
  ledger.do(reserve("10.5.2.0/24", "host9"));
  ledger.do(reserve("10.5.3.0/24"));
  t.equal(ledger.joinedSubnet(1, { wish: ["10.5.2.0/24", "10.5.3.0/24"] }), "10.5.4.0/24");
  t.throws(() => ledger.join(2), {
    code: "POOL_EXHAUSTED",
    message: "out of subnets in 10.5.0.0/16",
    why: "2 are leased, 2 reserved, 0 in quarantine",
  });
  ledger.do({ kind: "reservation.remove", subnet: "10.5.3.0/24" });
  t.equal(ledger.joinedSubnet(2), "10.5.3.0/24");
  t.equal(ledger.joinedSubnet(9), "10.5.2.0/24");
});

t.test("then released ones come, the oldest first, then expired ones", async (t) => {
  const ledger = Ledger.open(SMALL);
  for (const n of [1, 2, 3]) ledger.join(n);
  ledger.pass(12 * HOUR_MS);
  for (const n of [0, 2, 3]) ledger.renew(n);
  ledger.pass(13 * HOUR_MS);
  for (const n of [0, 2, 3]) ledger.renew(n);
  ledger.expireAll();
  ledger.pass(HOUR_MS);
  ledger.do(release(ledger, 3));
  ledger.do(release(ledger, 2));
  t.equal(ledger.joinedSubnet(4), "10.5.4.0/24", "released first");
  t.equal(ledger.joinedSubnet(5), "10.5.3.0/24", "released second");
  t.equal(ledger.joinedSubnet(6), "10.5.2.0/24", "expired, and past its quarantine");
  t.throws(() => ledger.join(7), { code: "POOL_EXHAUSTED" });
});

t.test("an expired subnet waits out its quarantine, but not for the node that had it", async (t) => {
  const ledger = Ledger.open(SMALL);
  for (const n of [1, 2, 3]) ledger.join(n);
  ledger.pass(24 * HOUR_MS - 1);
  for (const n of [0, 2, 3]) ledger.renew(n);
  ledger.pass(1);
  ledger.expireAll();
  t.throws(() => ledger.join(4), {
    code: "POOL_EXHAUSTED",
    why: "3 are leased, 0 reserved, 1 in quarantine",
  });
  ledger.pass(HOUR_MS - 1);
  t.throws(() => ledger.join(4), { code: "POOL_EXHAUSTED" });
  const back = { kind: "lease.acquire", node: "id1", attributes: attributes(1) } as const;
  t.equal((ledger.do(back) as { subnets: string[] }).subnets.join(), "10.5.2.0/24");
});

t.test("the quarantine ends for others too", async (t) => {
  const ledger = Ledger.open(SMALL);
  for (const n of [1, 2, 3]) ledger.join(n);
  ledger.pass(24 * HOUR_MS - 1);
  for (const n of [0, 2, 3]) ledger.renew(n);
  ledger.pass(1);
  ledger.expireAll();
  ledger.pass(HOUR_MS);
  t.equal(ledger.joinedSubnet(4), "10.5.2.0/24");
});

t.test("a /24 network has room for exactly three hosts", async (t) => {
  const ledger = Ledger.open('{"Network":"10.5.0.0/24","Backend":{"Type":"host-gw"}}');
  t.same([ledger.subnetsOf(0).join(), ledger.joinedSubnet(1), ledger.joinedSubnet(2)], [
    "10.5.0.64/26",
    "10.5.0.128/26",
    "10.5.0.192/26",
  ]);
  t.throws(() => ledger.join(3), { code: "POOL_EXHAUSTED" });
});

t.test("both families are given together", async (t) => {
  const ledger = Ledger.open(JSON.stringify({
    ...{ Network: "10.5.0.0/16", EnableIPv6: true, IPv6Network: "fd00:12::/48" },
    Backend: { Type: "host-gw" },
  }));
  t.equal(ledger.joinedSubnet(1), "10.5.2.0/24,fd00:12:0:2::/64");
  t.equal(ledger.joinedSubnet(2, { wish: ["fd00:12:0:9::/64"] }), "10.5.3.0/24,fd00:12:0:9::/64");
  ledger.do(release(ledger, 1));
  t.same([...ledger.state.all("freed")].map(({ key }) => key), ["10.5.2.0/24", "fd00:12:0:2::/64"]);
});

t.test("a block of another size that may still be in use is not cut up", async (t) => {
  const ledger = Ledger.open(NETWORK);
  ledger.join(1);
  ledger.do({ kind: "node.remove", node: "id1" });
  const lone: Command = { kind: "lease.release", node: "id0", subnets: ledger.subnetsOf(0) };
  ledger.do(lone);
  const halves = '{"Network":"10.5.0.0/16","SubnetLen":25,"Backend":{"Type":"host-gw"}}';
  ledger.do({ kind: "network.set", config: halves });
  t.equal(ledger.joinedSubnet(2, { wish: ["10.5.2.0/25"] }), "10.5.0.128/25");
  t.equal(ledger.joinedSubnet(3), "10.5.1.0/25", "what was released is free in any size");
  ledger.pass(25 * HOUR_MS);
  t.equal(ledger.joinedSubnet(4, { wish: ["10.5.2.128/25"] }), "10.5.2.128/25");
});

t.test("no two leases ever overlap, whatever is asked", async (t) => {
  const host = fc.integer({ min: 0, max: 7 });
  const subnet = fc.integer({ min: 0, max: 5 }).map((n) => `10.5.${n}.0/24`);
  const step = fc.oneof(
    fc.record({ what: fc.constant("join"), n: host, wish: subnet }),
    fc.record({ what: fc.constant("acquire"), n: host, wish: subnet }),
    fc.record({ what: fc.constant("claim"), n: host, wish: subnet }),
    fc.record({ what: fc.constant("release"), n: host, wish: subnet }),
    fc.record({ what: fc.constant("renew"), n: host, wish: subnet }),
    fc.record({ what: fc.constant("remove"), n: host, wish: subnet }),
    fc.record({ what: fc.constant("reserve"), n: host, wish: subnet }),
    fc.record({ what: fc.constant("pass"), n: host, wish: subnet }),
    fc.record({ what: fc.constant("replace"), n: host, wish: subnet }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const ledger = Ledger.open(SMALL);
      let salt = 0;
      for (const { what, n, wish } of steps) {
        const node = `id${n}`;
        const fresh = joiner(n, { csrKey: `key${n}-${++salt}`, wish: [wish] });
        const commands: Record<string, Command> = {
          join: { kind: "node.join", tokenId: "open", node: fresh },
          replace: {
            kind: "node.join",
            tokenId: "open",
            node: { ...fresh, nodeId: `id${n}-${salt}`, replace: `host${n}` },
          },
          acquire: { kind: "lease.acquire", node, attributes: attributes(n), wish: [wish] },
          claim: {
            ...{ kind: "lease.claim", node, subnets: [wish], attributes: attributes(n) },
            ...{ epoch: { n: 1, random: "00000000000000aa" }, revision: 1, locallyValid: true },
          } as Command,
          release: { kind: "lease.release", node, subnets: [wish] },
          renew: { kind: "lease.renew", node, subnets: [wish] },
          remove: { kind: "node.remove", node },
          reserve: reserve(wish, `host${n}`),
        };
        if (what === "pass") ledger.pass(n * 5 * HOUR_MS);
        else ledger.enter(commands[what]!);
        if (what === "pass" && n > 3) ledger.expireAll();
        const held = [...ledger.state.all("lease")].flatMap(({ body }) => body.subnets);
        const meets = (a: string, b: string) => overlaps(parsePrefix(a), parsePrefix(b));
        if (held.some((a, i) => held.some((b, j) => i < j && meets(a, b)))) return false;
        // What another may still use is not leased.
        for (const { key, body } of ledger.state.all("freed")) {
          if (body.quarantineEndsMs <= ledger.state.clockMs) continue;
          if (held.some((a) => meets(a, key))) return false;
        }
      }
      return true;
    }),
    { numRuns: 150 },
  );
  t.pass();
});

t.test("thousands of hosts join and renew in moments", async (t) => {
  const ledger = Ledger.open('{"Network":"10.0.0.0/8","Backend":{"Type":"host-gw"}}');
  // The lowest one reserved must not make everybody look at all others.
  ledger.do(reserve("10.0.2.0/24", "gateway"));
  // What others have of the processor meanwhile does not count.
  const usedMs = () => process.cpuUsage().user / 1_000;
  const startedMs = usedMs();
  for (let n = 1; n < 5_000; n++) ledger.join(n);
  const joinedMs = usedMs() - startedMs;
  for (let n = 1; n < 5_000; n++) ledger.renew(n);
  const renewedMs = usedMs() - startedMs - joinedMs;
  t.equal(ledger.subnetsOf(4_999).join(), "10.19.137.0/24");
  t.ok(joinedMs < 5_000, `5,000 joins took ${joinedMs} ms`);
  t.ok(renewedMs < 2_500, `5,000 renewals took ${renewedMs} ms`);
  t.equal(ledger.state.nextDeadlineMs(), DAY_MS);
});
