import t from "tap";
import { believedCas, rotationOf, theTrust } from "../../src/lease/trust.ts";
import { Ledger, OPEN_TOKEN } from "../support/ledger.ts";

const FORMER = { id: "aa", certPem: "the old one" };
const NEXT = { id: "bb", certPem: "the new one" };
const ADD = { kind: "ca.add", former: FORMER, next: NEXT } as const;
const USE = { kind: "ca.use", ca: "bb" } as const;
const DROP = { kind: "ca.drop", ca: "aa" } as const;

/** Hosts 0, 1 and 2. */
function cluster(): Ledger {
  const ledger = Ledger.open();
  for (const n of [1, 2]) ledger.join(n);
  return ledger;
}

function tell(ledger: Ledger, n: number, cas: readonly string[], issuer: string): void {
  ledger.do({ kind: "node.update", node: `id${n}`, trust: { cas, issuer } });
}

function missing(ledger: Ledger): string[] {
  return rotationOf(ledger.state)!.missing.map(({ body }) => body.name).sort();
}

t.test("a CA takes another's place when every node has followed each step", async (t) => {
  const ledger = cluster();
  t.equal(theTrust(ledger.state), undefined, "of the first CA the state has no record");
  ledger.do(ADD);
  t.same(believedCas(ledger.state), [FORMER, NEXT]);
  t.same(missing(ledger), ["host0", "host1", "host2"]);
  t.throws(() => ledger.do(USE), { code: "REVISION_MISMATCH", message: /3 nodes/ });
  for (const n of [0, 1, 2]) tell(ledger, n, ["aa", "bb"], "aa");
  t.throws(() => ledger.do(DROP), { code: "REVISION_MISMATCH" }, "it still signs");
  t.same(ledger.do(USE), { tokens: 1 });
  const { revokedWallMs } = ledger.state.get("token", OPEN_TOKEN.tokenId)!.body;
  t.equal(revokedWallMs, ledger.wallMs, "it pins the former CA");
  t.same(believedCas(ledger.state), [NEXT, FORMER], "who signs comes first");
  for (const n of [0, 2]) tell(ledger, n, ["bb", "aa"], "bb");
  t.same(missing(ledger), ["host1"]);
  t.throws(() => ledger.do(DROP), { code: "REVISION_MISMATCH", why: /host1/ });
  tell(ledger, 1, ["bb", "aa"], "bb");
  ledger.do(DROP);
  t.same(believedCas(ledger.state), [NEXT]);
  t.equal(rotationOf(ledger.state), undefined);
});

t.test("a step whose answer was lost may be taken again", async (t) => {
  const ledger = cluster();
  for (const _ of [1, 2]) ledger.do(ADD);
  for (const n of [0, 1, 2]) tell(ledger, n, ["aa", "bb"], "aa");
  t.same(ledger.do(USE), { tokens: 1 });
  t.same(ledger.do(USE), { tokens: 0 });
  for (const n of [0, 1, 2]) tell(ledger, n, ["bb", "aa"], "bb");
  for (const _ of [1, 2]) ledger.do(DROP);
  t.same(theTrust(ledger.state), { cas: [NEXT], signer: "bb" });
});

t.test("there is one change at a time, and it begins with the CA that signs", async (t) => {
  const ledger = cluster();
  ledger.do(ADD);
  const third = { id: "cc", certPem: "a third" };
  t.throws(() => ledger.do({ ...ADD, next: third }), { code: "REVISION_MISMATCH", fix: /ca show/ });
  for (const n of [0, 1, 2]) tell(ledger, n, ["aa", "bb"], "aa");
  ledger.do(USE);
  for (const n of [0, 1, 2]) tell(ledger, n, ["bb", "aa"], "bb");
  t.throws(() => ledger.do({ kind: "ca.drop", ca: "bb" }), { code: "REVISION_MISMATCH" });
  ledger.do(DROP);
  t.throws(() => ledger.do({ ...ADD, next: third }), { code: "REVISION_MISMATCH" });
  ledger.do({ kind: "ca.add", former: NEXT, next: third });
  t.same(believedCas(ledger.state), [NEXT, third]);
});

t.test("who joins in between is waited for as well", async (t) => {
  const ledger = cluster();
  ledger.do(ADD);
  for (const n of [0, 1, 2]) tell(ledger, n, ["aa", "bb"], "aa");
  ledger.join(3);
  t.throws(() => ledger.do(USE), { code: "REVISION_MISMATCH", why: /host3/ });
});

t.test("silent nodes are left behind only where that was asked for", async (t) => {
  const ledger = cluster();
  t.throws(() => ledger.do({ kind: "ca.leave-silent" }), { code: "NOT_FOUND" });
  ledger.do(ADD);
  for (const n of [0, 1]) tell(ledger, n, ["aa", "bb"], "aa");
  ledger.do({ kind: "node.silent", node: "id2", silent: true });
  t.throws(() => ledger.do(USE), { code: "REVISION_MISMATCH", why: /host2/ });
  ledger.do({ kind: "ca.leave-silent" });
  ledger.do(USE);
  tell(ledger, 0, ["bb", "aa"], "bb");
  t.throws(
    () => ledger.do(DROP),
    { code: "REVISION_MISMATCH", why: /host1/ },
    "who is there is waited for",
  );
  tell(ledger, 1, ["bb", "aa"], "bb");
  ledger.do(DROP);
  t.same(theTrust(ledger.state), { cas: [NEXT], signer: "bb" }, "the next change waits again");
});

t.test("nothing changes on hold: there may be nodes that this state does not know", async (t) => {
  const ledger = cluster();
  ledger.do(ADD);
  for (const n of [0, 1, 2]) tell(ledger, n, ["aa", "bb"], "aa");
  ledger.reform();
  t.throws(() => ledger.do(USE), { code: "ON_HOLD" });
});

t.test("the cluster remembers the latest end of a node's certificates", async (t) => {
  const ledger = cluster();
  const ends = () => ledger.state.get("node", "id1")!.body.certificateEndsWallMs;
  const before = ends();
  for (const more of [1_000, 500]) {
    ledger.do({ kind: "node.update", node: "id1", certificateEndsWallMs: before + more });
    t.equal(ends(), before + 1_000);
  }
});
