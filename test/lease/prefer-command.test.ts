/** What an operator may want of a server, and what would cost the cluster a voter. */
import t from "tap";
import { applyGroup } from "../../src/lease/apply.ts";
import type { CommandOf } from "../../src/lease/command.ts";
import { Ledger } from "../support/ledger.ts";

type Preferred = CommandOf<"node.prefer">["preferred"];

/** Hosts 0 … are servers of raft ids 1 …, the first `voters` of which vote. */
function servers(count: number, voters: number): Ledger {
  const ledger = Ledger.open();
  for (let n = 1; n < count; n++) ledger.join(n, { role: "server" });
  const ids = Array.from({ length: count }, (_, i) => i + 1);
  applyGroup(ledger.state, ++ledger.index, {
    voters: ids.slice(0, voters),
    learners: ids.slice(voters),
  });
  return ledger;
}

const prefer = (ledger: Ledger, node: string, preferred: Preferred) =>
  ledger.do({ kind: "node.prefer", node, preferred });
const preferredOf = (ledger: Ledger, node: string) =>
  ledger.state.get("node", node)?.body.preferred;

t.test("a preference stays until it is taken back", async (t) => {
  const ledger = servers(4, 3);
  const before = ledger.state.get("node", "id3")!.body;
  t.same(prefer(ledger, "host3", "voter"), { node: "id3", name: "host3", preferred: "voter" });
  t.equal(preferredOf(ledger, "id3"), "voter");
  ledger.do({ kind: "node.update", node: "id3", version: "0.2.0" });
  t.equal(preferredOf(ledger, "id3"), "voter", "a new program changes nothing");
  ledger.do({ kind: "node.update", node: "id3", version: before.version });
  prefer(ledger, "id3", null);
  t.same(ledger.state.get("node", "id3")!.body, before, "and leaves no trace");
  const { revision } = ledger.state;
  prefer(ledger, "id3", null);
  t.equal(ledger.state.revision, revision, "twice is once");
});

t.test("only who can vote is promoted", async (t) => {
  const ledger = servers(4, 3);
  ledger.join(7);
  ledger.join(8, { role: "server", ephemeral: true });
  t.throws(() => prefer(ledger, "host7", "voter"), { code: "ROLE_REFUSED", why: /as an agent/ });
  t.throws(() => prefer(ledger, "host8", "voter"), { code: "ROLE_REFUSED", why: /gone soon/ });
  ledger.do({ kind: "node.silent", node: "id3", silent: true });
  t.throws(() => prefer(ledger, "host3", "voter"), { code: "ROLE_REFUSED", fix: /start it/ });
  t.throws(() => prefer(ledger, "host9", "voter"), { code: "NOT_FOUND" });
});

t.test("no more voters are chosen than there are to be", async (t) => {
  const ledger = servers(5, 3);
  for (const host of ["host0", "host1", "host2"]) prefer(ledger, host, "voter");
  t.throws(() => prefer(ledger, "host3", "voter"), {
    code: "ROLE_REFUSED",
    why: "host0, host1, host2",
    fix: /denim node auto host0/,
  });
  ledger.do({ kind: "cluster.set-voters", voters: 5 });
  prefer(ledger, "host3", "voter");
  t.equal(preferredOf(ledger, "id3"), "voter");
});

t.test("nobody is demoted whose vote nobody else could have", async (t) => {
  const three = servers(3, 3);
  t.throws(() => prefer(three, "host2", "standby"), {
    code: "ROLE_REFUSED",
    why: "there are 3 voters, and 2 other servers that could be one",
    fix: /bring another server up/,
  });
  const four = servers(4, 3);
  prefer(four, "host2", "standby");
  t.throws(() => prefer(four, "host1", "standby"), { code: "ROLE_REFUSED" }, "one is enough");
  t.throws(() => prefer(servers(1, 1), "host0", "standby"), { code: "ROLE_REFUSED" });
  const silent = servers(4, 3);
  silent.do({ kind: "node.silent", node: "id3", silent: true });
  t.throws(() => prefer(silent, "host2", "standby"), { code: "ROLE_REFUSED" });
});

t.test("a cluster aims for three voters or five", async (t) => {
  const ledger = servers(3, 3);
  t.same(ledger.do({ kind: "cluster.set-voters", voters: 5 }), { voters: 5 });
  t.equal(ledger.state.get("cluster", "it")?.body.votersWanted, 5);
  for (const voters of [0, 1, 2, 4, 7]) {
    t.throws(() => ledger.do({ kind: "cluster.set-voters", voters }), { code: "REQUEST_INVALID" });
  }
});
