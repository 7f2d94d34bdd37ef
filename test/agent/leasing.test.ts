/** One node's lease, over a cluster in memory and a clock that the test moves. */
import t, { type Test } from "tap";
import { Leasing, type LeasingOptions } from "../../src/agent/leasing.ts";
import { DenimError } from "../../src/base/errors.ts";
import type { Random } from "../../src/base/random.ts";
import { seededRandom } from "../../src/base/random.ts";
import { FEATURES } from "../../src/lease/feature-level.ts";
import type { Command } from "../../src/lease/command.ts";
import type { Holding } from "../../src/lease/holding.ts";
import type { LeaseAttributes } from "../../src/lease/records.ts";
import { FakeClock } from "../support/clock.ts";
import {
  attributes,
  DAY_MS,
  EPOCH,
  HOUR_MS,
  joiner,
  LATER,
  OPEN_TOKEN,
} from "../support/ledger.ts";
import { RecordingLogger } from "../support/log.ts";
import { MemoryCluster } from "../support/memory-cluster.ts";

/** In the middle of what chance may give: exactly a third of the TTL. */
const EVEN: Random = { ...seededRandom(1), fraction: () => 0.5 };
const BOOT = "boot-1";

class Host {
  readonly clock = new FakeClock();
  readonly log = new RecordingLogger();
  readonly cluster = new MemoryCluster(this.clock);
  readonly kept: Holding[] = [];
  changes = 0;
  attributes: LeaseAttributes = attributes(1);
  leasing!: Leasing;

  /** Host 1 has joined, and so the cluster knows a lease of it. */
  static joined(): Host {
    const host = new Host();
    host.cluster.apply({ kind: "node.join", tokenId: OPEN_TOKEN.tokenId, node: joiner(1) });
    return host;
  }

  async start(t: Test, options: Partial<LeasingOptions> = {}): Promise<this> {
    this.leasing = new Leasing({
      node: "id1",
      cluster: this.cluster,
      ...{ clock: this.clock, logger: this.log, random: EVEN, bootId: BOOT },
      holding: this.kept.at(-1),
      attributes: () => this.attributes,
      introduction: () => ({
        ...{ name: "host1", role: "agent", address: "192.168.0.1:7470", version: "0.1.0" },
        features: FEATURES,
      }),
      keep: (holding) => Promise.resolve(void this.kept.push(holding)),
      onChange: () => this.changes++,
      ...options,
    });
    const { leasing } = this;
    t.teardown(async () => {
      const ended = leasing[Symbol.asyncDispose]();
      await this.clock.advance(0);
      await ended;
    });
    await this.clock.advance(10);
    return this;
  }

  get kind(): string {
    return this.leasing.standing().kind;
  }

  /** The kinds of the commands since `from`, but for the clock's. */
  commands(from = 0): string[] {
    return this.cluster.commands.slice(from).map(({ kind }) => kind).filter((kind) =>
      kind !== "tick"
    );
  }

  get subnets(): readonly string[] {
    const standing = this.leasing.standing();
    return standing.kind === "none" ? [] : standing.holding.subnets;
  }
}

t.test("a node without a lease acquires one, and has it on disk", async (t) => {
  const host = await Host.joined().start(t);
  t.equal(host.kind, "held");
  t.same(host.subnets, ["10.5.2.0/24"]);
  t.equal(host.commands().at(-1), "lease.acquire");
  t.same(host.kept.at(-1)?.subnets, host.subnets);
  t.equal(host.kept.at(-1)?.ttlMs, DAY_MS);
  t.ok(host.changes > 0);
});

t.test("a lease is renewed at a third of its time, and a renewal is no news", async (t) => {
  const host = await Host.joined().start(t);
  const [from, changes] = [host.cluster.commands.length, host.changes];
  await host.clock.advance(8 * HOUR_MS - 60_000);
  t.same(host.commands(from), []);
  await host.clock.advance(2 * 60_000);
  t.same(host.commands(from), ["lease.renew"]);
  await host.clock.advance(16 * HOUR_MS);
  t.same(host.commands(from), ["lease.renew", "lease.renew", "lease.renew"]);
  t.equal(host.changes, changes);
  t.same(host.kept.at(-1)?.sent.wallMs, host.kept.at(-1)?.sent.bootMs);
});

for (const [fraction, share] of [[0, 0.9], [0.999999, 1.1]] as const) {
  t.test(`a fleet does not renew in step: ${share} of the third`, async (t) => {
    const random = { ...EVEN, fraction: () => fraction };
    const host = await Host.joined().start(t, { random });
    const from = host.cluster.commands.length;
    await host.clock.advance(8 * HOUR_MS * share - 60_000);
    t.same(host.commands(from), []);
    await host.clock.advance(2 * 60_000);
    t.same(host.commands(from), ["lease.renew"]);
  });
}

t.test("a lease that ended is claimed at once, by its name", async (t) => {
  const host = await Host.joined().start(t);
  host.cluster.expire("id1");
  const from = host.cluster.commands.length;
  host.leasing.renewSoon();
  await host.clock.advance(10);
  t.same(host.commands(from), ["lease.renew", "lease.claim"]);
  t.equal(host.kind, "held");
  t.same(host.subnets, ["10.5.2.0/24"]);
  t.same(host.log.lines.filter((line) => line.startsWith("warn")), []);
});

t.test("a subnet that went to another is never exchanged: fenced, and it says so", async (t) => {
  const host = await Host.joined().start(t);
  host.cluster.expire("id1");
  host.cluster.apply({ kind: "reservation.put", subnet: "10.5.2.0/24", nodeName: "db" });
  const changes = host.changes;
  host.leasing.renewSoon();
  await host.clock.advance(10);
  const standing = host.leasing.standing();
  t.equal(standing.kind, "fenced");
  t.ok(standing.kind === "fenced" && standing.error?.code === "LEASE_TAKEN");
  t.ok(standing.kind === "fenced" && /reserved for db/.test(standing.error?.why ?? ""));
  t.same(host.subnets, ["10.5.2.0/24"]);
  t.ok(host.changes > changes);
  t.ok(host.log.lines.some((line) => /^warn .*code=LEASE_TAKEN/.test(line)), host.log.lines.join());
  const said = host.log.lines.length;
  await host.clock.advance(5 * 60_000);
  t.equal(host.log.lines.length, said, "once");
  t.equal(host.kind, "fenced");
  t.notOk(host.commands().slice(-5).includes("lease.acquire"));

  host.cluster.apply({ kind: "reservation.remove", subnet: "10.5.2.0/24" });
  await host.clock.advance(15_000);
  t.equal(host.kind, "held");
  t.same(host.subnets, ["10.5.2.0/24"]);
});

t.test("what was disowned is not trusted after a restart either", async (t) => {
  const host = await Host.joined().start(t);
  await host.cluster.propose({ kind: "node.remove", node: "id1" });
  host.leasing.renewSoon();
  await host.clock.advance(10);
  const standing = host.leasing.standing();
  t.ok(standing.kind === "fenced" && standing.error?.code === "NOT_A_MEMBER");
  host.cluster.loseLeader();
  const again = new Host();
  again.kept.push(host.kept.at(-1)!);
  again.cluster.loseLeader();
  await again.start(t);
  t.equal(again.kind, "fenced");
});

t.test("without a cluster the trust runs out, and that is told at once", async (t) => {
  const host = await Host.joined().start(t);
  const short = '{"Network":"10.5.0.0/16","LeaseTTL":"10m","Backend":{"Type":"host-gw"}}';
  host.cluster.apply({ kind: "network.set", config: short });
  host.leasing.renewSoon();
  await host.clock.advance(10);
  t.equal(host.kept.at(-1)!.ttlMs, 600_000);
  host.cluster.loseLeader();
  await host.clock.advance(600_000 * 0.99 - 100);
  t.equal(host.kind, "held");
  const changes = host.changes;
  await host.clock.advance(200);
  t.equal(host.kind, "fenced");
  t.ok(host.changes > changes);
  t.same(host.subnets, ["10.5.2.0/24"], "it keeps its subnet in its own kernel");
  host.cluster.findLeader();
  await host.clock.advance(30_000);
  t.equal(host.kind, "held");
});

t.test("the trust counts from when the question was sent", async (t) => {
  const host = Host.joined();
  host.cluster.delayMs = 5_000;
  await host.start(t);
  await host.clock.advance(5_000);
  const standing = host.leasing.standing();
  t.ok(standing.kind === "held");
  const trustedForMs = standing.kind === "held" ? standing.trustedForMs : 0;
  t.ok(trustedForMs <= DAY_MS * 0.99 - 5_000, `${trustedForMs}`);
});

t.test("after a reboot nothing is trusted until the cluster says so", async (t) => {
  const before = await Host.joined().start(t);
  const host = new Host();
  host.kept.push(before.kept.at(-1)!);
  host.cluster.loseLeader();
  await host.start(t, { bootId: "boot-2" });
  t.equal(host.kind, "fenced");
  host.cluster.apply({ kind: "node.join", tokenId: OPEN_TOKEN.tokenId, node: joiner(1) });
  host.cluster.findLeader();
  await host.clock.advance(15_000);
  t.equal(host.kind, "held");
  t.equal(host.kept.at(-1)!.sent.bootId, "boot-2");
  t.notOk(host.commands().includes("lease.acquire"), "what it had is renewed, not asked for anew");
});

t.test("a restart in the same boot goes on with what is left", async (t) => {
  const host = await Host.joined().start(t);
  host.cluster.loseLeader();
  await host.leasing[Symbol.asyncDispose]();
  await host.start(t);
  t.equal(host.kind, "held");
});

t.test("a clock that went back fences until the lease is confirmed", async (t) => {
  const host = await Host.joined().start(t);
  const later = host.kept.at(-1)!;
  const sent = { ...later.sent, wallMs: later.sent.wallMs + HOUR_MS };
  await host.leasing[Symbol.asyncDispose]();
  host.kept.push({ ...later, sent });
  host.cluster.loseLeader();
  await host.start(t);
  t.equal(host.kind, "fenced");
});

t.test("a host that slept renews when it wakes, not hours later", async (t) => {
  const clock = new SleepyClock();
  const host = Host.joined();
  await host.start(t, { clock });
  const from = host.cluster.commands.length;
  clock.sleptMs = 20 * HOUR_MS;
  await clock.advance(60_000);
  t.same(host.commands(from), ["lease.renew"]);
  clock.sleptMs += 30 * HOUR_MS;
  t.equal(host.kind, "fenced");
  await clock.advance(60_000);
  t.equal(host.kind, "held");
});

/** Timers stand still while the host sleeps; two of the three clocks do not. */
class SleepyClock extends FakeClock {
  sleptMs = 0;

  override wallMs(): number {
    return super.wallMs() + this.sleptMs;
  }

  override bootMs(): number {
    return super.bootMs() + this.sleptMs;
  }
}

t.test("what peers are told changes with the next renewal, which can be hurried", async (t) => {
  const host = await Host.joined().start(t);
  const { revision } = host.kept.at(-1)!;
  host.attributes = { ...host.attributes, publicIp: "192.168.7.7" };
  host.leasing.renewSoon();
  await host.clock.advance(10);
  const lease = host.cluster.view().state.find("leaseByNode", "id1")[0]!;
  t.equal(lease.body.publicIp, "192.168.7.7");
  t.same(host.subnets, ["10.5.2.0/24"]);
  t.ok(host.kept.at(-1)!.revision > revision);
});

t.test("failures are repeated ever more slowly, up to ten seconds, and said once", async (t) => {
  const host = Host.joined();
  const sentMs: number[] = [];
  host.cluster.propose = () => {
    sentMs.push(host.clock.monotonicMs());
    return Promise.reject(new DenimError("NO_LEADER", "Nobody leads"));
  };
  await host.start(t);
  await host.clock.advance(60_000);
  const gaps = sentMs.slice(1).map((atMs, i) => atMs - sentMs[i]!);
  t.ok(gaps[0]! <= 500, `${gaps}`);
  t.ok(gaps.at(-1)! > 7_000 && gaps.at(-1)! <= 10_000, `${gaps}`);
  t.equal(host.kind, "none");
  t.equal(host.log.lines.filter((line) => line.includes("NO_LEADER")).length, 1);
});

t.test("a full disk takes nothing away that the cluster granted", async (t) => {
  const host = Host.joined();
  const keep = () => Promise.reject(new DenimError("STORE_FAILED", "full", { why: "no space" }));
  await host.start(t, { keep });
  t.equal(host.kind, "held");
  const from = host.cluster.commands.length;
  await host.clock.advance(60_000);
  t.same(host.commands(from), [], "it does not ask again because of that");
  t.ok(host.log.lines.some((line) => /^error .*not on disk/.test(line)));
});

t.test("it stops at once although nobody answers", async (t) => {
  const host = Host.joined();
  host.cluster.loseLeader();
  await host.start(t);
  await host.leasing[Symbol.asyncDispose]();
  t.equal(host.kind, "none");
});

/** The cluster goes on in a new epoch, on what it knows of host 1 now. */
function reform(host: Host): void {
  host.cluster.apply({ kind: "cluster.reform", epoch: LATER, reason: "recover", node: "id0" });
}

function endHold(host: Host): void {
  host.cluster.apply({ kind: "cluster.release-hold", epoch: LATER, early: true });
}

function lastClaim(host: Host) {
  const claim = host.cluster.commands.findLast(({ kind }) => kind === "lease.claim");
  return claim as Extract<Command, { kind: "lease.claim" }>;
}

t.test("a new epoch is met with a claim at once, and then the lease is renewed in it", async (t) => {
  const host = await Host.joined().start(t);
  const { revision } = host.kept.at(-1)!;
  const changes = host.changes;
  const from = host.cluster.commands.length + 1;
  reform(host);
  await host.clock.advance(10);
  t.same(host.commands(from), ["lease.claim"]);
  const claim = lastClaim(host);
  t.same([claim.epoch, claim.revision, claim.locallyValid], [EPOCH, revision, true]);
  t.same([host.kind, host.kept.at(-1)!.epoch], ["held", LATER]);
  t.equal(host.changes, changes, "it was held all the time");
  await host.clock.advance(8 * HOUR_MS + 60_000);
  t.same(host.commands(from), ["lease.claim", "lease.renew"]);
});

t.test("what is not trusted waits out the hold, quietly, and is claimed at its end", async (t) => {
  const before = await Host.joined().start(t);
  const host = Host.joined();
  host.kept.push(before.kept.at(-1)!);
  reform(host);
  await host.start(t, { bootId: "boot-2" });
  const standing = host.leasing.standing();
  t.ok(standing.kind === "fenced" && standing.error?.code === "ON_HOLD");
  t.equal(lastClaim(host).locallyValid, false);
  t.same(host.commands().filter((kind) => kind === "lease.claim").length, 1);
  await host.clock.advance(9 * 60_000);
  t.same(host.commands().filter((kind) => kind === "lease.claim").length, 1);
  t.equal(host.kind, "fenced");
  endHold(host);
  await host.clock.advance(10);
  t.equal(host.kind, "held");
  t.same(host.subnets, ["10.5.2.0/24"]);
});

t.test("to be told to wait ends the trust, also after a restart", async (t) => {
  const host = await Host.joined().start(t);
  await host.leasing[Symbol.asyncDispose]();
  reform(host);
  // As after a fork that was decided for the other side.
  host.kept.push({ ...host.kept.at(-1)!, epoch: { n: 1, random: "00000000000000cc" } });
  await host.start(t);
  t.equal(lastClaim(host).locallyValid, true);
  t.equal(host.kind, "fenced");
  t.equal(host.kept.at(-1)!.ttlMs, 0);
});

t.test("a node that the cluster has lost makes itself known before it claims", async (t) => {
  const before = await Host.joined().start(t);
  const host = new Host();
  host.kept.push(before.kept.at(-1)!);
  reform(host);
  await host.start(t);
  t.same(host.commands().slice(-2), ["node.readmit", "lease.claim"]);
  t.equal(host.cluster.view().state.get("node", "id1")?.body.name, "host1");
  t.same([host.kind, host.subnets], ["held", ["10.5.2.0/24"]]);
});

t.test("one that was removed is not known again", async (t) => {
  const host = await Host.joined().start(t);
  await host.leasing[Symbol.asyncDispose]();
  host.cluster.apply({ kind: "node.remove", node: "id1" });
  reform(host);
  await host.start(t);
  const standing = host.leasing.standing();
  t.ok(standing.kind === "fenced" && standing.error?.code === "NOT_A_MEMBER");
  t.notOk(host.commands().includes("node.readmit"));
});

t.test("a subnet that was claimed by another before this one is not used yet", async (t) => {
  const host = Host.joined();
  await host.start(t);
  host.cluster.apply({ kind: "node.join", tokenId: OPEN_TOKEN.tokenId, node: joiner(2) });
  host.cluster.apply({ kind: "lease.release", node: "id2", subnets: ["10.5.3.0/24"] });
  await host.leasing[Symbol.asyncDispose]();
  reform(host);
  host.cluster.apply({
    kind: "lease.claim",
    ...{ node: "id2", subnets: ["10.5.2.0/24"], attributes: attributes(2) },
    ...{ epoch: EPOCH, revision: 7, locallyValid: true },
  });
  host.kept.push({ ...host.kept.at(-1)!, revision: 8 });
  const changes = host.changes;
  await host.start(t);
  const standing = host.leasing.standing();
  t.ok(standing.kind === "fenced" && standing.error?.code === "LEASE_FENCED");
  t.equal(host.cluster.view().state.get("lease", "10.5.2.0/24")?.body.node, "id1");
  const asked = host.cluster.commands.length;
  await host.clock.advance(60_000);
  t.ok(host.cluster.commands.length - asked < 20, "it does not ask without a pause");
  await host.clock.advance(26 * HOUR_MS);
  t.equal(host.kind, "held");
  t.ok(host.changes > changes);
});

t.test("a node that is moved changes over at once, and fences nothing on the way", async (t) => {
  const host = await Host.joined().start(t);
  const [from, changes] = [host.cluster.commands.length, host.changes];
  host.cluster.apply({ kind: "lease.move", node: "host1", subnet: "10.5.9.0/24" });
  await host.clock.advance(10);
  t.same(host.commands(from), ["lease.move", "lease.acquire"]);
  t.same([host.kind, host.subnets], ["held", ["10.5.9.0/24"]]);
  t.same(host.kept.at(-1)?.subnets, ["10.5.9.0/24"]);
  t.ok(host.changes > changes);
  await host.clock.advance(9 * HOUR_MS);
  t.equal(host.commands().at(-1), "lease.renew");
});

t.test("an answer to that is asked for again, and what it had is not claimed back", async (t) => {
  const host = await Host.joined().start(t);
  host.cluster.loseAnswers();
  host.cluster.apply({ kind: "lease.move", node: "host1", subnet: "10.5.9.0/24" });
  const from = host.cluster.commands.length;
  await host.clock.advance(10);
  t.same(host.subnets, ["10.5.2.0/24"], "it has not heard yet");
  await host.clock.advance(60_000);
  t.same(host.subnets, ["10.5.9.0/24"]);
  t.notOk(host.commands(from).includes("lease.claim"));
});

t.test("while the cluster is on hold a move waits, and the lease does not suffer", async (t) => {
  const host = await Host.joined().start(t);
  host.cluster.apply({ kind: "lease.move", node: "host1", subnet: "10.5.9.0/24" });
  host.cluster.apply({ kind: "cluster.fork-seen", epoch: EPOCH, other: { n: 1, random: "f" } });
  await host.clock.advance(60_000);
  t.equal(host.kind, "held");
  host.cluster.apply({ kind: "cluster.release-hold", epoch: EPOCH, early: true });
  await host.clock.advance(60_000);
  t.same([host.kind, host.subnets], ["held", ["10.5.9.0/24"]]);
});

t.test("a fenced node whose subnet has gone goes on in another only when it is moved", async (t) => {
  const host = await Host.joined().start(t);
  host.cluster.expire("id1");
  host.cluster.apply({ kind: "reservation.put", subnet: "10.5.2.0/24", nodeName: "db" });
  host.leasing.renewSoon();
  await host.clock.advance(10);
  t.equal(host.kind, "fenced");
  host.cluster.apply({ kind: "lease.move", node: "host1", subnet: "10.5.9.0/24" });
  await host.clock.advance(10);
  t.same([host.kind, host.subnets], ["held", ["10.5.9.0/24"]]);
});
