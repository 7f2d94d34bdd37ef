import t from "tap";
import type { Command } from "../../src/lease/command.ts";
import { DAY_MS, HOUR_MS, Ledger, WALL_MS } from "../support/ledger.ts";

const token = (tokenId: string, secretHash = "ff"): Command => ({
  ...{ kind: "token.create", tokenId, secretHash, role: "agent", uses: 1 },
  expiresWallMs: WALL_MS + HOUR_MS,
} as Command);

t.test("a token is made once, however often it is sent", async (t) => {
  const ledger = Ledger.open();
  ledger.do(token("t"));
  const { revision } = ledger.state;
  ledger.do(token("t"));
  t.equal(ledger.state.revision, revision);
  t.throws(() => ledger.do(token("t", "ee")), { code: "REVISION_MISMATCH" });
});

t.test("tokens that ended a week ago are forgotten when a new one is made", async (t) => {
  const ledger = Ledger.open();
  ledger.do(token("old"));
  ledger.wallMs += 8 * DAY_MS;
  ledger.do(token("new"));
  t.same([...ledger.state.all("token")].map(({ key }) => key), ["open", "new"]);
});

t.test("a revoked token lets nobody in, and is remembered as one", async (t) => {
  const ledger = Ledger.open();
  ledger.do({ kind: "token.revoke", tokenId: "open" });
  const why = `somebody ended it on ${new Date(WALL_MS).toISOString()}`;
  t.throws(() => ledger.join(1), { code: "TOKEN_REVOKED", why });
  const { revision } = ledger.state;
  ledger.do({ kind: "token.revoke", tokenId: "open" });
  t.equal(ledger.state.revision, revision, "once");
  t.throws(() => ledger.do({ kind: "token.revoke", tokenId: "none" }), { code: "NOT_FOUND" });
  t.throws(() => ledger.join(1, {}, "none"), { code: "TOKEN_UNKNOWN" });
});

t.test("blocks that joiners may come from are kept as blocks", async (t) => {
  const ledger = Ledger.open();
  ledger.do({ ...token("t"), from: ["192.0.2.77/24", "2001:DB8::1/64"] } as Command);
  t.same(ledger.state.get("token", "t")?.body.from, ["192.0.2.0/24", "2001:db8::/64"]);
  t.throws(() => ledger.do({ ...token("u"), from: ["here"] } as Command), {
    code: "CONFIG_INVALID",
  });
});

t.test("a token without limits is kept as it always was", async (t) => {
  const ledger = Ledger.open();
  ledger.do(token("t"));
  t.same(Object.keys(ledger.state.get("token", "t")!.body).sort(), [
    ...["createdWallMs", "expiresWallMs", "role", "secretHash", "usesLeft"],
  ]);
});

t.test("what a token makes of a host is in its record alone", async (t) => {
  const ledger = Ledger.open();
  ledger.do({ ...token("t"), ephemeral: true } as Command);
  t.equal(ledger.join(1, {}, "t").lease.ttlMs, 10 * 60_000);
  t.equal(ledger.renew(1).ttlMs, 10 * 60_000, "and so at each renewal");
  t.equal(ledger.join(2).lease.ttlMs, DAY_MS);
});
