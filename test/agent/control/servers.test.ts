import t from "tap";
import {
  cannotAdmit,
  serversOf,
  serversToTry,
  strangers,
} from "../../../src/agent/control/servers.ts";
import { applyGroup } from "../../../src/lease/apply.ts";
import { State } from "../../../src/lease/state.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { Ledger } from "../../support/ledger.ts";

/** Hosts 0 to 3 are servers; the group is 0, 2 and, without a vote, 1. */
function ledger(): Ledger {
  const ledger = Ledger.open();
  for (const n of [1, 2, 3]) ledger.join(n, { role: "server" });
  applyGroup(ledger.state, ++ledger.index, { voters: [1, 3], learners: [2] });
  return ledger;
}

const nobody = { self: "id0", remembered: [], seeds: [] };

t.test("only the group's members are servers, voters first", async (t) => {
  t.same(serversOf(ledger().state).map(({ name }) => name), ["host0", "host2", "host1"]);
  t.same(serversOf(new State()), []);
});

t.test("a fleet spreads over the servers, and falls back to the seeds", async (t) => {
  const seeds = ["web1", "192.168.0.1:7470", "[2001:db8::1]"];
  const firsts = new Set<string>();
  for (let seed = 0; seed < 20; seed++) {
    const found = serversToTry(ledger().state, { ...nobody, seeds }, seededRandom(seed));
    t.same([...found].sort(), [
      ...["192.168.0.1:7470", "192.168.0.2:7470", "[2001:db8::1]:7470", "web1:7470"],
    ]);
    t.same(found.slice(2), ["web1:7470", "[2001:db8::1]:7470"]);
    firsts.add(found[0]!);
  }
  t.equal(firsts.size, 2);
});

t.test("who has just joined by way of one server goes to any of those that it was told", async (t) => {
  const beacons = { self: "id9", remembered: ["a:1", "b:2", "c:3"], seeds: ["a:1"] };
  const tries = Array.from({ length: 20 }, (_, seed) => {
    return serversToTry(new State(), beacons, seededRandom(seed));
  });
  t.ok(tries.every((found) => String([...found].sort()) === "a:1,b:2,c:3"));
  t.equal(new Set(tries.map(([first]) => first)).size, 3);
  // What is remembered is what the state was: it counts for less than what was given by hand.
  const later = serversToTry(ledger().state, { ...beacons, seeds: ["d:4"] }, seededRandom(1));
  t.same(later.slice(3), ["d:4", "a:1", "b:2", "c:3"]);
});

t.test("who knows no member any more looks where one may be now", async (t) => {
  const beacons = { self: "id0", remembered: ["192.168.0.2:7470", "a:1"], seeds: ["a:1", "web1"] };
  t.same(strangers(ledger().state, beacons), ["192.168.0.3:7470", "a:1", "web1:7470"]);
  t.same(strangers(new State(), beacons), ["a:1", "web1:7470", "192.168.0.2:7470"]);
});

t.test("an address that cannot be read keeps nobody from the others", async (t) => {
  const { state } = ledger();
  const body = { ...state.get("node", "id1")!.body, address: "no such: thing" };
  const record = { ...state.get("node", "id1")!, body };
  state.commit(
    99,
    [{ table: "node", key: "id1", before: undefined, after: record }],
    state.clockMs,
  );
  t.same(serversToTry(state, { ...nobody, seeds: [":7470"] }, seededRandom(1)), [
    "192.168.0.2:7470",
  ]);
});

t.test("an agent says where the servers are", async (t) => {
  t.match(cannotAdmit(ledger().state).fix!, /192\.168\.0\.0:7470/);
  t.match(cannotAdmit(new State()).fix!, /none is known/);
});
