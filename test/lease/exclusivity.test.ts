/** No two nodes hold valid leases that overlap, whatever happens to them and to the cluster. */
import process from "node:process";
import fc from "fast-check";
import t from "tap";
import { DenimError } from "../../src/base/errors.ts";
import { overlaps, parsePrefix } from "../../src/ip/prefix.ts";
import type { Command, JoinAnswer, LeaseAnswer } from "../../src/lease/command.ts";
import { expiredLeases } from "../../src/lease/expiry.ts";
import { theHold } from "../../src/lease/hold.ts";
import { type Holding, holdingFrom, type HostTime, trustedForMs } from "../../src/lease/holding.ts";
import { equalEpoch } from "../../src/lease/records.ts";
import { movesOf } from "../../src/lease/reservation-commands.ts";
import { leaseOf, theCluster } from "../../src/lease/state.ts";
import {
  attributes,
  EPOCH,
  HOUR_MS,
  initCommand,
  joiner,
  Ledger,
  OPEN_TOKEN,
} from "../support/ledger.ts";

/** Three subnets for six hosts: they have to be passed on. */
const NETWORK = '{"Network":"10.5.0.0/26","SubnetLen":28,"LeaseTTL":"2h","Backend":' +
  '{"Type":"host-gw"}}';
const HOSTS = 6;
/** An answer after this long reaches nobody. */
const PATIENCE_MS = 10_000;

/** A host, with what it has on its disk. */
class Host {
  readonly n: number;
  identity = 0;
  isMember = false;
  holding: Holding | undefined;
  boot = 0;
  lies = false;

  constructor(n: number) {
    this.n = n;
  }

  get nodeId(): string {
    return this.identity === 0 ? `id${this.n}` : `id${this.n}.${this.identity}`;
  }
}

interface Sent {
  readonly host: Host;
  readonly nodeId: string;
  readonly command: Command;
  readonly sent: HostTime;
  readonly to: number;
}

/** Everything there is, on one true time. */
class World {
  ledger = new Ledger();
  readonly hosts = Array.from({ length: HOSTS }, (_, n) => new Host(n));
  readonly saved: Ledger[] = [];
  readonly pending: Sent[] = [];
  nowMs = 0;
  epochs = 1;
  readonly counts = { granted: 0, claimed: 0, refused: 0, reformed: 0, fenced: 0, moved: 0 };

  constructor() {
    const { lease } = this.ledger.do(initCommand(NETWORK)) as JoinAnswer;
    this.ledger.do(OPEN_TOKEN);
    const founder = this.hosts[0]!;
    founder.isMember = true;
    founder.holding = holdingFrom(lease, this.timeOf(founder));
  }

  timeOf({ boot }: Host): HostTime {
    return { bootMs: this.nowMs, wallMs: this.nowMs, bootId: `boot${boot}` };
  }

  isValid(host: Host): boolean {
    return host.holding !== undefined && trustedForMs(host.holding, this.timeOf(host)) > 0;
  }

  /** Two hosts that both believe in the same addresses; `undefined` if all is well. */
  conflict(counts: (holding: Holding) => boolean = () => true): string | undefined {
    const valid = this.hosts.filter((host) => this.isValid(host) && counts(host.holding!));
    for (const [i, a] of valid.entries()) {
      for (const b of valid.slice(i + 1)) {
        const meet = a.holding!.subnets.some((one) =>
          b.holding!.subnets.some((other) => overlaps(parsePrefix(one), parsePrefix(other)))
        );
        if (meet) return `${a.nodeId} and ${b.nodeId}: ${a.holding!.subnets}`;
      }
    }
    return undefined;
  }

  /** What a node's leasing would ask for now. */
  command(host: Host, modest: boolean): Command {
    const node = host.nodeId;
    const { state } = this.ledger;
    const { holding } = host;
    const { name, address, version, features } = joiner(host.n);
    if (state.get("node", node) === undefined && theHold(state) !== undefined) {
      return { kind: "node.readmit", node, role: "agent", name, address, version, features };
    }
    const said = { node, attributes: attributes(host.n) };
    const moves = theHold(state) === undefined && holding !== undefined &&
      movesOf(state, node, holding.subnets).length > 0;
    if (holding === undefined || moves) return { kind: "lease.acquire", ...said };
    const { subnets, epoch, revision } = holding;
    const valid = this.isValid(host);
    const lease = leaseOf(state, node);
    const claims = !equalEpoch(epoch, theCluster(state)!.epoch) || !valid || lease === undefined;
    if (!claims) return { kind: "lease.renew", ...said, subnets };
    const locallyValid = valid && !modest;
    return { kind: "lease.claim", ...said, subnets, epoch, revision, locallyValid };
  }

  send(host: Host, command: Command): void {
    const sent = this.timeOf(host);
    this.pending.push({ host, nodeId: host.nodeId, command, sent, to: this.epochs });
  }

  /** One message arrives, and its answer, if somebody still waits for it. */
  deliver(which: number, answerIsLost: boolean): void {
    if (this.pending.length === 0) return;
    const [{ host, nodeId, command, sent, to }] = this.pending.splice(
      which % this.pending.length,
      1,
    ) as [Sent];
    // A connection ends with the epoch of its server, and an attempt to join with an earlier one.
    if (to !== this.epochs || (command.kind === "node.join" && host.isMember)) return;
    const { answer } = this.ledger.enter(command);
    const late = this.nowMs - sent.bootMs > PATIENCE_MS || sent.bootId !== `boot${host.boot}`;
    if (answerIsLost || late || host.nodeId !== nodeId) return;
    if (answer.ok) this.#granted(host, command, answer.value as LeaseAnswer, sent);
    else this.#refused(host, DenimError.fromJSON(answer.error));
  }

  #granted(host: Host, command: Command, value: LeaseAnswer, sent: HostTime): void {
    if (command.kind === "node.readmit") return;
    if (command.kind === "node.join") host.isMember = true;
    const lease = command.kind === "node.join" ? (value as unknown as JoinAnswer).lease : value;
    const { subnets } = host.holding ?? lease;
    const same = subnets.join() === lease.subnets.join();
    if (!same && command.kind === "lease.acquire") this.counts.moved++;
    else if (!same && !host.lies) throw new Error(`${host.nodeId} was renumbered`);
    host.holding = holdingFrom(lease, sent);
    this.counts.granted++;
    if (command.kind === "lease.claim") this.counts.claimed++;
  }

  #refused(host: Host, { code }: DenimError): void {
    this.counts.refused++;
    if (!["LEASE_TAKEN", "NOT_A_MEMBER", "ON_HOLD"].includes(code)) return;
    if (host.holding === undefined) return;
    this.counts.fenced++;
    host.holding = { ...host.holding, ttlMs: 0 };
  }

  /** The lease clock goes with the true time, or stands still without a leader. */
  pass(durationMs: number, isLed: boolean): void {
    this.nowMs += durationMs;
    if (isLed) this.ledger.pass(durationMs);
    else this.ledger.wallMs += durationMs;
  }

  /** What a leader does when it is due. */
  lead(): void {
    const { state } = this.ledger;
    const { epoch } = theCluster(state)!;
    this.ledger.enter({ kind: "cluster.release-hold", epoch, early: false });
    this.ledger.enter({ kind: "lease.expire", leases: expiredLeases(state, state.clockMs) });
  }

  /** All that was done since the state was saved is lost, but not what hosts were told. */
  reform(which: number | undefined): void {
    if (which !== undefined && this.saved.length > 0) {
      const { wallMs } = this.ledger;
      this.ledger = this.saved[which % this.saved.length]!.copy();
      this.ledger.wallMs = wallMs;
    }
    this.counts.reformed++;
    this.ledger.reform({ n: ++this.epochs, random: `${this.epochs}` });
  }

  /** A host that says that it holds something, as only a broken one would. */
  lie(host: Host, subnet: string, n: number, revision: number): void {
    host.lies = true;
    const random = n === 1 ? EPOCH.random : `${n}`;
    this.send(host, {
      kind: "lease.claim",
      ...{ node: host.nodeId, subnets: [subnet], attributes: attributes(host.n) },
      ...{ epoch: { n, random }, revision, locallyValid: true },
    });
    this.deliver(this.pending.length - 1, false);
  }

  /** By an operator who has made sure that every host in use is known. */
  releaseEarly(): void {
    const { state } = this.ledger;
    const known = this.hosts.every((host) =>
      !this.isValid(host) ||
      leaseOf(state, host.nodeId)?.body.subnets.join() === host.holding!.subnets.join()
    );
    if (known) this.releaseNow();
  }

  releaseNow(): void {
    const { epoch } = theCluster(this.ledger.state)!;
    this.ledger.enter({ kind: "cluster.release-hold", epoch, early: true });
  }
}

type Step = (world: World) => void;

const aHost = fc.nat({ max: HOSTS - 1 });
const anyNumber = fc.nat({ max: 20 });
const aWish = fc.integer({ min: 1, max: 3 }).map((n) => `10.5.0.${n * 16}/28`);
const aWhile = fc.constantFrom(1_000, 60_000, HOUR_MS, 3 * HOUR_MS, 13 * HOUR_MS, 25 * HOUR_MS);

/** A host without an identity asks to be let in; one that has one speaks for itself. */
const contact = fc.tuple(aHost, aWish, fc.boolean(), anyNumber).map(
  ([n, wish, modest, which]): Step => (world) => {
    const host = world.hosts[n]!;
    if (host.isMember) return world.send(host, world.command(host, modest && which % 4 === 0));
    const csrKey = `key-${host.nodeId}`;
    const node = joiner(n, { nodeId: host.nodeId, csrKey, wish: [wish] });
    world.send(host, { kind: "node.join", tokenId: "open", node });
  },
);

const arrival = fc.tuple(anyNumber, fc.boolean(), fc.boolean()).map(
  ([which, a, b]): Step => (world) => world.deliver(which, a && b),
);

/** Contact and answer at once, as it mostly is. */
const talk = contact.map((send): Step => (world) => {
  send(world);
  world.deliver(world.pending.length - 1, false);
});

/** An operator asks a host to change over, mostly to what is free; the answer may be lost. */
const renumbering: fc.Arbitrary<Step> = fc.tuple(aHost, aWish, anyNumber).map(
  ([n, subnet, which]): Step => (world) => {
    const host = world.hosts[n]!;
    const { ledger } = world;
    if (which % 4 === 0) return void ledger.enter({ kind: "reservation.remove", subnet });
    const { answer } = ledger.enter({ kind: "lease.move", node: host.nodeId, subnet });
    // Who waits for the answer to its request to join has no lease to change.
    if (!answer.ok || !host.isMember) return;
    world.send(host, world.command(host, false));
    world.deliver(world.pending.length - 1, which % 3 === 0);
  },
);

const trouble: fc.Arbitrary<Step> = fc.oneof(
  aHost.map((n): Step => (world) => void world.hosts[n]!.boot++),
  aHost.map((n): Step => (world) => {
    world.ledger.enter({ kind: "node.remove", node: world.hosts[n]!.nodeId });
  }),
  aHost.map((n): Step => (world) => {
    const host = world.hosts[n]!;
    host.holding = undefined;
    world.ledger.enter({ kind: "node.leave", node: host.nodeId });
    host.isMember = false;
    host.identity++;
  }),
  // The host is set up anew, and its former identity is gone with what it was told.
  aHost.map((n): Step => (world) => {
    const host = world.hosts[n]!;
    [host.holding, host.isMember] = [undefined, false];
    host.identity++;
  }),
);

const rebirth: fc.Arbitrary<Step> = fc.oneof(
  fc.constant<Step>((world) => void world.saved.push(world.ledger.copy())),
  fc.option(anyNumber, { nil: undefined }).map((which): Step => (world) => world.reform(which)),
  fc.constant<Step>((world) => world.releaseEarly()),
);

/** How it mostly goes; what goes wrong comes with `more`. */
function steps(more: fc.Arbitrary<Step>): fc.Arbitrary<Step[]> {
  const time = fc.tuple(aWhile, fc.nat({ max: 4 }))
    .map(([whileMs, n]): Step => (world) => world.pass(whileMs, n > 0));
  const step = fc.oneof(
    { weight: 8, arbitrary: talk },
    { weight: 3, arbitrary: contact },
    { weight: 3, arbitrary: arrival },
    { weight: 4, arbitrary: time },
    { weight: 3, arbitrary: fc.constant<Step>((world) => world.lead()) },
    { weight: 2, arbitrary: trouble },
    { weight: 3, arbitrary: more },
  );
  return fc.array(step, { maxLength: 120, size: "max" });
}

const RUNS = Number(process.env["DENIM_TEST_RUNS"] ?? 200);

/** Runs worlds and sums up what happened in them: one in which nothing does would prove nothing. */
function check(
  more: fc.Arbitrary<Step>,
  conflictIn: (world: World) => string | undefined,
): [string, number][] {
  const totals = new Map<string, number>();
  fc.assert(
    fc.property(steps(more), (steps) => {
      const world = new World();
      for (const [i, take] of steps.entries()) {
        take(world);
        const conflict = conflictIn(world);
        if (conflict !== undefined) throw new Error(`after step ${i}: ${conflict}`);
      }
      for (const [what, count] of Object.entries(world.counts)) {
        totals.set(what, (totals.get(what) ?? 0) + count);
      }
    }),
    { numRuns: RUNS },
  );
  return [...totals];
}

/** All that should, where nobody moves a host. */
function happened(totals: readonly [string, number][]): readonly [string, number][] {
  return totals.filter(([what]) => what !== "moved");
}

t.test("two nodes never both hold a valid lease of one subnet", async (t) => {
  const totals = check(rebirth, (world) => world.conflict());
  for (const [what, count] of happened(totals)) t.ok(count > 50, `${what}: ${count}`);
});

t.test("nor where hosts are moved to other subnets meanwhile", async (t) => {
  const totals = new Map(check(renumbering, (world) => world.conflict()));
  const wanted = { granted: 50, claimed: 50, fenced: 50, moved: 5 };
  for (const [what, count] of Object.entries(wanted)) {
    t.ok(totals.get(what)! > count, `${what}: ${totals.get(what)}`);
  }
});

t.test("nor in one epoch, whatever broken hosts say that they held before", async (t) => {
  const lie = fc.tuple(aHost, aWish, fc.integer({ min: 1, max: 3 }), anyNumber).map(
    ([n, subnet, epoch, revision]): Step => (world) => {
      world.lie(world.hosts[n]!, subnet, epoch, revision);
    },
  );
  const release = fc.constant<Step>((world) => world.releaseNow());
  const more = fc.oneof(rebirth, rebirth, lie, lie, lie, release);
  const totals = check(more, (world) => {
    const { epoch } = theCluster(world.ledger.state)!;
    return world.conflict((holding) => equalEpoch(holding.epoch, epoch));
  });
  for (const [what, count] of happened(totals)) t.ok(count > 50, `${what}: ${count}`);
});
