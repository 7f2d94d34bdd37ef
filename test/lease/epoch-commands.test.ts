import t from "tap";
import { applyGroup } from "../../src/lease/apply.ts";
import { theCluster, theGroup } from "../../src/lease/state.ts";
import { DAY_MS, EPOCH, HOUR_MS, LATER, Ledger, OPEN_TOKEN, WALL_MS } from "../support/ledger.ts";

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

t.test("a restored state has none of its tokens, nor what they had set aside", async (t) => {
  const ledger = Ledger.open();
  ledger.do({ ...OPEN_TOKEN, tokenId: "t", uses: 1, subnet: "10.5.77.0/24" });
  ledger.do({ kind: "reservation.put", subnet: "10.5.78.0/24", nodeName: "web9" });
  const place = { storeId: "new", csrKey: "key", certificateEndsWallMs: WALL_MS };
  const kept = ledger.copy();
  kept.reform();
  t.equal([...kept.state.all("reservation")].length, 2, "a recovery has lost none");
  ledger.do({ kind: "cluster.reform", epoch: LATER, reason: "restore", node: "id0", place });
  t.same([...ledger.state.all("token")], []);
  t.same([...ledger.state.all("reservation")].map(({ key }) => key), ["10.5.78.0/24"]);
  t.same([theGroup(ledger.state).voters, theCluster(ledger.state)!.lastRaftId], [[2], 2]);
});

t.test("a certificate that was renewed in what was lost is not forgotten too early", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1, { certificateEndsWallMs: WALL_MS + 90 * DAY_MS });
  ledger.wallMs += 80 * DAY_MS;
  ledger.reform();
  ledger.do({ kind: "node.remove", node: "id1" });
  const { untilWallMs } = ledger.state.get("tombstone", "id1")!.body;
  t.equal(untilWallMs, ledger.wallMs + 90 * DAY_MS);
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
