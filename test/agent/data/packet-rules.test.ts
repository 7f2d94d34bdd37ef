/** One host's rules, kept, over a packet filter in memory. */
import t, { type Test } from "tap";
import {
  networkRules,
  PacketRules,
  type WantedRules,
} from "../../../src/agent/data/packet-rules.ts";
import { formatPrefix, parsePrefix } from "../../../src/ip/prefix.ts";
import { MemoryPacketFilter } from "../../../src/kernel/memory-packet-filter.ts";
import { parseNetworkConfig } from "../../../src/lease/network.ts";
import { fastClock, until } from "../../support/fast-clock.ts";
import { RecordingLogger } from "../../support/log.ts";

const NETWORK = parsePrefix("10.244.0.0/16");
const FORMER = parsePrefix("10.9.0.0/16");

function wantedFor(network = NETWORK, confirmed = true): WantedRules {
  const [subnets, exempt] = [[parsePrefix("10.244.3.0/24")], []];
  const rules = [{ network, subnets, exempt, masquerade: true, forward: true }];
  return { rules, networks: [NETWORK, FORMER], confirmed };
}

class Host {
  readonly filter = new MemoryPacketFilter();
  readonly log = new RecordingLogger();
  readonly rules: PacketRules;
  wanted: WantedRules | undefined = wantedFor();

  constructor(t: Test, speed = 20) {
    this.rules = new PacketRules({
      ...{ filter: this.filter, log: this.log, clock: fastClock(speed) },
      wanted: () => this.wanted,
    });
    t.teardown(() => this.rules[Symbol.asyncDispose]());
  }

  get names(): string[] {
    return [...this.filter.standing.keys()].sort();
  }
}

const TABLE = "denim-10.244.0.0-16";

t.test("the rules stand before container runtimes are told that they do", async (t) => {
  const host = new Host(t);
  const told = host.rules.masquerades().then((yes) => [yes, host.names]);
  host.rules.start();
  t.same(await told, [true, [TABLE]]);
  t.same(host.rules.reports.map(({ tool, changed }) => [tool, changed]), [["nftables", true]]);
});

t.test("runtimes masquerade where Denim does not, or cannot", async (t) => {
  const off = new Host(t);
  off.wanted = { ...wantedFor(), rules: [{ ...wantedFor().rules[0]!, masquerade: false }] };
  t.equal(await off.rules.masquerades(), false, "nobody waits for what is not wanted");
  const cannot = new Host(t);
  cannot.filter.tool = undefined;
  cannot.rules.start();
  t.equal(await cannot.rules.masquerades(), false);
});

t.test("a tool that hangs holds up nobody for long", async (t) => {
  const host = new Host(t);
  const answer = Promise.withResolvers<[]>();
  host.filter.masquerade = () => answer.promise;
  host.rules.start();
  t.equal(await host.rules.masquerades(), false, "runtimes are told what is known");
  answer.resolve([]);
});

t.test("what somebody empties is put back at once", async (t) => {
  // The periodic look would take longer than the test is waited for.
  const host = new Host(t, 0.01);
  host.rules.start();
  await until("it stands", () => host.names.length === 1);
  host.filter.flush();
  await until("it is back", () => host.names.length === 1);
  t.same(host.names, [TABLE]);
});

t.test("what nobody tells of is put back by the periodic look", async (t) => {
  const host = new Host(t, 200);
  host.rules.start();
  await until("it stands", () => host.names.length === 1);
  host.filter.flush(true);
  await until("it is back", () => host.names.length === 1);
  t.same(host.names, [TABLE]);
});

t.test("a new subnet reaches the rules, and an unchanged one asks nobody", async (t) => {
  const host = new Host(t);
  host.rules.start();
  await until("it stands", () => host.names.length === 1);
  const text = () => host.filter.standing.get(TABLE)?.text;
  let passes = 0;
  const masquerade = host.filter.masquerade.bind(host.filter);
  host.filter.masquerade = (rules) => {
    passes++;
    return masquerade(rules);
  };
  for (let i = 0; i < 100; i++) host.rules.refresh();
  t.equal(passes, 0);
  const subnets = [parsePrefix("10.244.4.0/24")];
  host.wanted = { ...wantedFor(), rules: [{ ...wantedFor().rules[0]!, subnets }] };
  host.rules.refresh();
  await until("it has the other subnet", () => text()?.includes("10.244.4.0/24"));
  t.equal(passes, 1);
});

t.test("a former network's rules go when a leader stands behind the new one", async (t) => {
  const host = new Host(t);
  host.wanted = wantedFor(FORMER);
  host.rules.start();
  await until("the former stands", () => host.names.length === 1);
  // Another daemon's, with a network that this one never had.
  await host.filter.masquerade([{ ...wantedFor().rules[0]!, network: parsePrefix("10.8.0.0/16") }]);
  host.wanted = wantedFor(NETWORK, false);
  host.rules.refresh();
  await until("the new one stands", () => host.names.includes(TABLE));
  t.ok(host.names.includes("denim-10.9.0.0-16"), "on an old cache's word nothing goes");
  host.wanted = wantedFor();
  host.rules.refresh();
  await until("the former is gone", () => !host.names.includes("denim-10.9.0.0-16"));
  t.same(host.names, [TABLE, "denim-10.8.0.0-16"]);
});

t.test("a failure is told once, in the tool's words, and tried again", async (t) => {
  const host = new Host(t, 200);
  host.filter.refusal = "Operation not supported";
  host.rules.start();
  const told = () => host.log.lines.filter((line) => line.includes("Operation not supported"));
  await until("it is told", () => told().length > 0);
  const [report] = host.rules.reports;
  t.same([report?.kind, report?.error], ["masquerade", "Operation not supported"]);
  host.rules.trigger();
  await until("another pass", () => host.rules.reports[0] !== report);
  t.equal(told().length, 1);
  host.filter.refusal = undefined;
  await until("it stands", () => host.names.length === 1);
  await until("that is known", () => host.rules.reports[0]?.error === undefined);
});

t.test("a pass that breaks is told of once, and another follows", async (t) => {
  const host = new Host(t, 200);
  let isBroken = true;
  const list = host.filter.list.bind(host.filter);
  host.filter.list = () => isBroken ? Promise.reject(new Error("no table")) : list();
  host.rules.start();
  const told = () => host.log.lines.filter((line) => line.includes("no table")).length;
  await until("it is told", () => told() > 0);
  const [report] = host.rules.reports;
  await until("another pass", () => host.rules.reports[0] !== report);
  t.equal(told(), 1);
  isBroken = false;
  t.same(host.names, [TABLE], "what could be done was");
});

t.test("while nothing is known nothing is done; stopping takes nothing away", async (t) => {
  const host = new Host(t);
  host.wanted = undefined;
  host.rules.start();
  host.rules.trigger();
  await host.rules[Symbol.asyncDispose]();
  t.same(host.names, []);
  const other = new Host(t);
  other.rules.start();
  await until("it stands", () => other.names.length === 1);
  await other.rules[Symbol.asyncDispose]();
  t.same(other.names, [TABLE]);
});

t.test("who leaves takes all of its networks' rules along, and no others", async (t) => {
  const host = new Host(t);
  host.filter.drops = true;
  host.rules.start();
  await until("both stand", () => host.names.length === 2);
  await host.filter.masquerade([{ ...wantedFor().rules[0]!, network: parsePrefix("10.8.0.0/16") }]);
  t.same(await host.rules.withdraw([NETWORK, FORMER]), []);
  t.same(host.names, ["denim-10.8.0.0-16"]);
});

t.test("each family of a network has rules of its own", async (t) => {
  const config = parseNetworkConfig(JSON.stringify({
    ...{ Network: "10.244.0.0/16", EnableIPv6: true, IPv6Network: "fd00:244::/48" },
    Backend: { Type: "host-gw" },
    MasqExempt: ["192.168.0.0/16", "fd00:9::/64"],
  }));
  const switches = { masquerade: true, forward: false };
  const rules = networkRules(config, ["10.244.3.0/24", "fd00:244:0:3::/64"], switches);
  const told = rules.map(({ network, subnets, exempt }) =>
    [network, ...subnets, ...exempt].map(formatPrefix)
  );
  t.same(told, [
    ["10.244.0.0/16", "10.244.3.0/24", "192.168.0.0/16"],
    ["fd00:244::/48", "fd00:244:0:3::/64", "fd00:9::/64"],
  ]);
  t.same(rules.map(({ masquerade, forward }) => [masquerade, forward]), [
    [true, false],
    [true, false],
  ]);
});
