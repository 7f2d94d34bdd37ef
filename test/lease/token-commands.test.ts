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

t.test("a revoked token lets nobody in", async (t) => {
  const ledger = Ledger.open();
  ledger.do({ kind: "token.revoke", tokenId: "open" });
  t.throws(() => ledger.join(1), { code: "TOKEN_INVALID" });
  t.throws(() => ledger.do({ kind: "token.revoke", tokenId: "open" }), { code: "NOT_FOUND" });
});

t.test("a subnet is set aside only where it is one, and nobody else has it", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  const put = (subnet: string, nodeName?: string) =>
    ledger.do({
      ...{ kind: "reservation.put" as const, subnet },
      ...(nodeName === undefined ? {} : { nodeName }),
    });
  t.same(put("10.5.9.7/24", "host9"), { subnet: "10.5.9.0/24" });
  t.same(put("10.5.2.0/24", "host1"), { subnet: "10.5.2.0/24" }, "its holder may keep it");
  t.throws(() => put("10.5.2.0/24", "host2"), { code: "LEASE_TAKEN" });
  for (const wrong of ["10.5.9.0/25", "10.9.0.0/24", "10.5.0.0/24", "x"]) {
    t.throws(() => put(wrong), { code: "CONFIG_INVALID" });
  }
  ledger.do({ kind: "reservation.remove", subnet: "10.5.9.9/24" });
  t.throws(() => ledger.do({ kind: "reservation.remove", subnet: "10.5.9.0/24" }), {
    code: "NOT_FOUND",
  });
});
