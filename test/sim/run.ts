import { systemClock } from "../../src/base/clock.ts";
import { createCa, type KeyPair } from "../../src/transport/pki.ts";
import { CASES } from "./cases.ts";
import { SimCluster } from "./cluster.ts";
import type { Host } from "./host.ts";
import { LeaseOracle } from "./lease-oracle.ts";
import { Nemesis } from "./nemesis.ts";
import { RaftOracle } from "./raft-oracle.ts";
import { during, leaderOf, type Stage } from "./stage.ts";
import { demand, Violation } from "./violation.ts";
import { clusterOf, Workload } from "./workload.ts";
import { World } from "./world.ts";

export interface RunResult {
  readonly seed: number;
  /** Equal for equal seeds, on either runtime. */
  readonly traceHash: string;
  readonly virtualMs: number;
  readonly scenario: string | undefined;
  readonly faults: number;
  readonly entries: number;
  readonly elections: number;
  readonly acknowledged: number;
  /** What went wrong, and what happened before. */
  readonly failure: { readonly message: string; readonly notes: readonly string[] } | undefined;
}

const NOTES_SHOWN = 60;
const SETTLE_MS = 120_000;
/** Of the runs that play a named scenario instead of chance alone. */
const CASE_SHARE = 0.4;
const CASE_MS = 60_000;

/** One per process: what it says is the same in every run. */
let ca: Promise<KeyPair> | undefined;

/** One whole life of a cluster: it grows, is maltreated, is left in peace, and must be well again. */
export async function simulate(seed: number): Promise<RunResult> {
  ca ??= createCa("00112233445566778899aabbccddeeff", systemClock());
  const run = new Run(seed, await ca);
  let failure: RunResult["failure"];
  try {
    await run.all();
  } catch (error) {
    const message = error instanceof Violation ? error.message : (error as Error).stack!;
    failure = { message, notes: run.world.notes.slice(-NOTES_SHOWN) };
  }
  return {
    seed,
    traceHash: run.world.traceHash,
    virtualMs: run.world.nowMs,
    scenario: run.scenario,
    faults: run.nemesis.count,
    entries: run.raft.entries,
    elections: run.raft.elections,
    acknowledged: run.workload.acknowledged,
    failure,
  };
}

class Run implements Stage {
  readonly world: World;
  readonly cluster: SimCluster;
  readonly nemesis: Nemesis;
  readonly workload: Workload;
  readonly raft: RaftOracle;
  readonly leases: LeaseOracle;
  /** Which of the named scenarios was played, if any. */
  scenario: string | undefined;
  #violation: unknown;

  constructor(seed: number, ca: KeyPair) {
    this.world = new World(seed);
    this.cluster = new SimCluster(this.world, ca);
    this.nemesis = new Nemesis(this.cluster);
    this.workload = new Workload(this.cluster);
    const hosts = () => this.cluster.hosts;
    this.raft = new RaftOracle(hosts);
    this.leases = new LeaseOracle(hosts);
    this.nemesis.onNewHost((host) => this.#observe(host));
    this.cluster.network.onHello = (from, startId) =>
      this.#guarded(() => this.raft.saidHello(from, startId));
    this.cluster.network.onRaft = (from, { messages }) =>
      this.#guarded(() => {
        this.world.note(messages.map(({ kind, from, to }) => `${kind} ${from}>${to}`).join(" "));
        this.raft.sent(from, messages);
      });
  }

  async all(): Promise<void> {
    await this.#grow();
    if (this.world.chance(CASE_SHARE)) await this.#play();
    else await this.#harm();
    await this.#recover();
  }

  async #grow(): Promise<void> {
    const { world, cluster } = this;
    const founder = this.newHost();
    await cluster.found(founder);
    founder.start();
    await this.pass(1_000);
    await during(this, cluster.openDoor(clusterOf(founder)!));
    await during(this, this.workload.begin(founder));
    const servers = 2 + world.random.below(3);
    const agents = world.random.below(3);
    for (let i = 0; i < servers + agents; i++) {
      const host = this.newHost();
      await during(this, cluster.join(host, i < servers ? "server" : "agent", clusterOf(founder)!));
      host.start();
    }
    await this.pass(8_000);
  }

  /** Safety: whatever happens, nothing that must not happen does. */
  async #harm(): Promise<void> {
    const { world } = this;
    const endMs = world.nowMs + world.between(20_000, 120_000);
    const strikeMs = world.between(300, 8_000);
    const callMs = world.between(100, 1_500);
    const churnMs = world.between(200, 4_000);
    this.#repeat(strikeMs, endMs, () => this.nemesis.strike());
    this.#repeat(callMs, endMs, () => this.workload.call());
    this.#repeat(churnMs, endMs, () => void this.workload.churn());
    await this.pass(endMs - world.nowMs);
  }

  /** One of the named scenarios, with the usual traffic around it. */
  async #play(): Promise<void> {
    const { world } = this;
    const name = world.pick(Object.keys(CASES))!;
    world.note(`case ${name}`);
    this.scenario = name;
    const endMs = world.nowMs + CASE_MS;
    this.#repeat(world.between(100, 1_500), endMs, () => this.workload.call());
    await CASES[name]!(this);
  }

  /** Liveness: left in peace, a majority is enough for everything to work again. */
  async #recover(): Promise<void> {
    const { cluster, world } = this;
    world.note("peace");
    this.nemesis.rest();
    for (const host of cluster.hosts.filter(({ isClone }) => isClone)) host.kill();
    for (const host of cluster.hosts.filter(({ isClone }) => !isClone)) host.start();
    // While one that is missing is being replaced there may be none to spare.
    await this.pass(world.between(3_000, 10_000));
    // Who changes the group by hand may leave it with a majority that needs everybody.
    if (world.chance(0.5) && this.scenario !== "impatientOperators") this.#keepMinorityDown();
    const endMs = world.nowMs + SETTLE_MS;
    while (world.nowMs < endMs) {
      await this.pass(2_000);
      if (this.#isWell()) break;
    }
    demand(this.#isWell(), "left in peace, all is well again", () => this.#complaint()!);
    const leader = clusterOf(leaderOf(this))!;
    const answers = async () => {
      await leader.propose({ kind: "tick" });
      await leader.read("linearizable");
    };
    await during(this, answers()).catch((error) =>
      demand(false, "a healthy cluster answers", () => String(error))
    );
    this.workload.checkEnd(leader, this.raft.revisions);
  }

  /** What is left of the group has to do: voters that are dead may never come back. */
  #keepMinorityDown(): void {
    const { cluster, world } = this;
    // A smaller group may not have one to spare.
    if (this.raft.mayBeChanging()) return;
    const voters = this.raft.votersOfNewest().map((raftId) =>
      cluster.hosts.find((host) => host.raftId === raftId && !host.isClone)
    );
    const spare = Math.ceil(voters.length / 2) - 1 -
      voters.filter((host) => host === undefined || !host.isMember || host.staysDown).length;
    for (let n = 0; n < spare; n++) {
      const host = world.pick(voters.filter((host) => host !== undefined && !host.staysDown));
      if (host === undefined) return;
      host.kill();
      host.staysDown = true;
    }
  }

  #isWell(): boolean {
    return this.#complaint() === undefined;
  }

  /** What is not as it should be; `undefined` when all is. */
  #complaint(): string | undefined {
    const members = this.cluster.hosts
      .filter((host) => host.isMember && !host.isClone && !host.wasCloned && !host.staysDown);
    const down = members.find(({ node }) => node === undefined);
    if (down !== undefined) return `${down.name} is down: ${down.startError?.message}`;
    const leader = members.find(({ node }) => node!.control.replica?.leads === true);
    if (leader === undefined) return "nobody leads";
    const { state, position } = clusterOf(leader)!.view()!;
    for (const host of members) {
      if (state.get("node", host.identity.nodeId) === undefined) continue;
      const view = clusterOf(host)!.view();
      if (view?.position.revision !== position.revision) {
        return `${host.name} is at ${view?.position.revision}, the leader at ${position.revision}`;
      }
      if (host.node!.standing().kind !== "held") {
        return `${host.name} has no lease: ${JSON.stringify(host.node!.standing())}`;
      }
    }
    return undefined;
  }

  newHost(): Host {
    const host = this.cluster.addHost();
    this.#observe(host);
    return host;
  }

  #observe(host: Host): void {
    host.disk.onWrite = (operations) =>
      this.#guarded(() => {
        this.world.note(`${host.name} writes ${operations.length}`);
        this.raft.wrote(host, operations);
      });
  }

  /** What an observer finds ends the run, not the daemon that happened to be under its eyes. */
  #guarded(look: () => void): void {
    try {
      look();
    } catch (error) {
      this.#violation ??= error;
    }
  }

  #repeat(everyMs: number, endMs: number, action: () => void): void {
    const { world } = this;
    world.after(world.between(0, 2 * everyMs), () => {
      if (world.nowMs >= endMs) return;
      action();
      this.#repeat(everyMs, endMs, action);
    });
  }

  async pass(durationMs: number): Promise<void> {
    await this.world.pass(durationMs, () => {
      for (const host of this.cluster.hosts) {
        if (!host.touched) continue;
        host.touched = false;
        this.#guarded(() => {
          this.raft.look(host);
          this.leases.look(host);
        });
      }
      if (this.#violation !== undefined) throw this.#violation;
    });
  }
}
