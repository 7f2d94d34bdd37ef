import t from "tap";
import { applyGroup } from "../../src/lease/apply.ts";
import { theCluster, theGroup } from "../../src/lease/state.ts";
import { DAY_MS, EPOCH, HOUR_MS, LATER, Ledger, WALL_MS } from "../support/ledger.ts";

const FORK = { n: 1, random: "00000000000000cc" };

t.test("a new epoch begins with one server, on hold, above every revision before", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1, { role: "server" });
  ledger.join(2);
  applyGroup(ledger.state, ++ledger.index, { voters: [1, 2], learners: [] });
  ledger.pass(HOUR_MS);
  const before = ledger.index;
  t.same(ledger.reform(LATER, "id1"), {
    ...{ reason: "recover", sinceWallMs: WALL_MS + HOUR_MS },
    ...{ endsMs: DAY_MS + HOUR_MS, untilWallMs: WALL_MS + DAY_MS + HOUR_MS },
  });
  t.same(theGroup(ledger.state), { voters: [2], learners: [] });
  const { epoch, ancestors } = theCluster(ledger.state)!;
  t.same([epoch, ancestors], [LATER, [{ epoch: EPOCH, endRevision: ledger.index }]]);
  t.equal(ledger.state.revision, before + 1e9);
  t.equal(ledger.state.clockMs, HOUR_MS, "the lease clock goes on");
  t.same(ledger.subnetsOf(2), ["10.5.3.0/24"]);
});

t.test("a server goes on, and only into a later epoch", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  t.throws(() => ledger.reform(LATER, "id1"), { code: "NOT_A_MEMBER", message: /never held/ });
  t.throws(() => ledger.reform(LATER, "id9"), { code: "NOT_A_MEMBER" });
  t.throws(() => ledger.reform(FORK), { code: "EPOCH_MISMATCH" });
});

t.test("a state without deadlines, as an agent has it, gets them", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.state.commit(
    0,
    [...ledger.state.all("deadline")].map((before) => {
      return { table: "deadline", key: before.key, before, after: undefined } as const;
    }),
    0,
  );
  ledger.reform();
  t.equal(ledger.deadlineOf(1), DAY_MS);
});

t.test("a second reform starts the hold anew, and its claims with it", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  ledger.reform();
  ledger.pass(20 * HOUR_MS);
  const third = { n: 3, random: "cc" };
  ledger.reform(third);
  t.equal(ledger.state.get("hold", "it")?.body.endsMs, 44 * HOUR_MS);
  t.equal(ledger.deadlineOf(1), 44 * HOUR_MS);
  t.same(theCluster(ledger.state)!.ancestors?.map(({ epoch }) => epoch), [EPOCH, LATER]);
  t.throws(() => ledger.renew(1), { code: "EPOCH_MISMATCH" });
});

t.test("a fork puts the cluster on hold, whose own leases go on", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  const seen = () => ledger.enter({ kind: "cluster.fork-seen", epoch: EPOCH, other: FORK });
  seen();
  const hold = () => ledger.state.get("hold", "it")!.body;
  t.same([hold().reason, hold().fork, hold().endsMs], ["fork", FORK, DAY_MS]);
  t.throws(() => ledger.join(2), { code: "ON_HOLD", why: /another cluster goes on/ });
  t.equal(ledger.renew(1).ttlMs, DAY_MS);
  t.equal(seen().changes.length, 0, "said again at once");
  ledger.pass(13 * HOUR_MS);
  seen();
  t.equal(hold().endsMs, 37 * HOUR_MS, "said again much later");
  t.equal(hold().sinceWallMs, WALL_MS);
});

t.test("a fork that is seen in a hold is added to it", async (t) => {
  const ledger = Ledger.open();
  ledger.reform();
  ledger.pass(HOUR_MS);
  const other = { n: 2, random: "cc" };
  ledger.do({ kind: "cluster.fork-seen", epoch: LATER, other });
  const { reason, fork, endsMs } = ledger.state.get("hold", "it")!.body;
  t.same([reason, fork, endsMs], ["recover", other, 25 * HOUR_MS]);
});

t.test("what is no fork of this epoch is none", async (t) => {
  const ledger = Ledger.open();
  const seen = (epoch: typeof EPOCH, other: typeof EPOCH) =>
    ledger.do({ kind: "cluster.fork-seen", epoch, other });
  t.throws(() => seen(EPOCH, EPOCH), { code: "EPOCH_MISMATCH" });
  t.throws(() => seen(EPOCH, LATER), { code: "EPOCH_MISMATCH" });
  t.throws(() => seen(FORK, EPOCH), { code: "EPOCH_MISMATCH" });
});
