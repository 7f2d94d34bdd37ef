/**
 * From `kill -9` of the leader to the next write that is acknowledged, in turn with etcd; and its
 * twin, which shows that the patience behind it is not too short: on a machine whose processors and
 * disk are busy with something else, nobody may be elected unless something stood still for longer
 * than {@link STALL_MS}. Needs root.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { sleep, systemClock } from "../../src/base/clock.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import { sendSignal } from "../../src/cli/lab/signal.ts";
import { eventually, restart } from "../support/lab.ts";
import { probe } from "./agent.ts";
import { type Answered, cannotCompare, type Prober } from "./etcd.ts";
import type { BenchOptions } from "./main.ts";
import { leaderOf, type Pair, withPair } from "./pair.ts";
import {
  type BenchResult,
  benchResult,
  type BenchRow,
  benchRow,
  median,
  percentile90,
} from "./result.ts";

export const cannotRun = cannotCompare;

const clock = systemClock();
const [MEDIAN_GOAL, P90_GOAL] = [0.6, 0.5];
const STALL_MS = 400;
/** What has to be calm before a kill. */
const CALM_MS = 1_500;
/** An election is the consequence of what happened within this time before. */
const CAUSE_MS = 3_000;
const LOOK_MS = 50;
const MINUTE_MS = 60_000;

export async function run({ tiny, minutes = 1 }: BenchOptions): Promise<BenchResult> {
  const [rounds, stressMs] = tiny ? [1, 3_000] : [15, minutes * MINUTE_MS];
  return await withPair({ tiny, agents: 1 }, async (pair) => {
    const [ours, theirs]: [number[], number[]] = [[], []];
    for (let round = 0; round < rounds; round++) {
      ours.push(await killDenim(pair));
      theirs.push(await killEtcd(pair));
    }
    const row = (name: string, of: (values: readonly number[]) => number, goal: number) =>
      benchRow(
        `kill -9 of the leader to the next write, ${name} of ${rounds}`,
        { denim: of(ours), peer: of(theirs), unit: "ms" },
        goal,
      );
    return benchResult("failover", [
      row("median", median, MEDIAN_GOAL),
      row("90th percentile", percentile90, P90_GOAL),
      await elections(pair, stressMs),
    ]);
  });
}

async function killDenim({ servers, agents, program }: Pair): Promise<number> {
  const leader = await leaderOf(servers);
  const others = servers.filter((host) => host !== leader);
  const timeMs = await untilNextWrite(probe(agents[0]!, others), () => {
    sendSignal(leader.daemon!.pid, "SIGKILL");
  });
  await leader.daemon!.ended;
  await restart(leader, program);
  await leader.daemon!.ready({ clock, timeoutMs: 30_000 });
  await eventually("the group is whole", async () => {
    const views = await Promise.all(servers.map(raftOf));
    return new Set(views.map(({ leader }) => leader)).size === 1 ? true : undefined;
  });
  return timeMs;
}

async function killEtcd({ servers, etcd }: Pair): Promise<number> {
  const leader = (await etcd.leader())!;
  const others = servers.filter((host) => host !== leader);
  const timeMs = await untilNextWrite(etcd.probe(others), () => etcd.kill(leader));
  await etcd.startMember(leader);
  const load = { inFlight: 1, durationMs: LOOK_MS };
  await eventually("etcd is whole", () => {
    return etcd.rate("get", load, [leader]).catch(() => undefined);
  });
  return timeMs;
}

/** The first write that was sent after the fault and acknowledged, milliseconds after the fault. */
async function untilNextWrite(prober: Prober, fault: () => unknown): Promise<number> {
  await eventually("writes are acknowledged", async () => prober.answered.at(0));
  await sleep(clock, CALM_MS);
  const faultMs = performance.timeOrigin + performance.now();
  void fault();
  const next = await eventually("a write is acknowledged", async () => {
    return prober.answered.find(({ sentMs }) => sentMs >= faultMs);
  });
  prober.stop();
  return next.answeredMs - faultMs;
}

interface RaftLine {
  readonly term: number;
  readonly leader: number;
}

async function raftOf(host: Host): Promise<RaftLine> {
  return await host.get("/v1/raft") as RaftLine;
}

/** Elections that nothing explains, while the machine is busy. */
async function elections({ servers, agents }: Pair, durationMs: number): Promise<BenchRow> {
  const prober = probe(agents[0]!, servers);
  await eventually("writes are acknowledged", async () => prober.answered.at(0));
  const stress = startStress(servers[0]!.folder);
  const watches = servers.map((host) => new Watch(host));
  await sleep(clock, durationMs);
  stress.stop();
  const looks = await Promise.all(watches.map((watch) => watch.stop()));
  prober.stop();
  const stalls = [prober.answered, ...looks].flatMap(stallsIn);
  const elected = watches[0]!.elections;
  const unexplained = elected.filter((atMs) =>
    !stalls.some(({ fromMs, toMs }) => toMs > atMs - CAUSE_MS && fromMs + STALL_MS < atMs)
  );
  return benchRow(
    `false elections in ${durationMs / 1_000} s of stress, ` +
      `of ${elected.length} with ${stalls.length} stalls above ${STALL_MS} ms`,
    { denim: unexplained.length, peer: 1, unit: "times" },
    0,
  );
}

interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Times in which nothing was answered. */
function stallsIn(answered: readonly Answered[]): Span[] {
  const times = answered.map(({ answeredMs }) => answeredMs).sort((a, b) => a - b);
  return times.slice(1).map((toMs, i) => ({ fromMs: times[i]!, toMs }))
    .filter(({ fromMs, toMs }) => toMs - fromMs > STALL_MS);
}

/** Looks at one server, over and over: a look that takes long is a loop that stood still. */
class Watch {
  readonly #running: Promise<void>;
  readonly answered: Answered[] = [];
  /** When a new term was first seen. */
  readonly elections: number[] = [];
  #going = true;

  constructor(host: Host) {
    this.#running = this.#run(host);
  }

  async stop(): Promise<readonly Answered[]> {
    this.#going = false;
    await this.#running;
    return this.answered;
  }

  async #run(host: Host): Promise<void> {
    let seen: number | undefined;
    while (this.#going) {
      const sentMs = performance.timeOrigin + performance.now();
      const { term } = await raftOf(host);
      const answeredMs = performance.timeOrigin + performance.now();
      this.answered.push({ sentMs, answeredMs });
      if (seen !== undefined && term !== seen) this.elections.push(answeredMs);
      seen = term;
      await sleep(clock, LOOK_MS);
    }
  }
}

/** Two processes that spin, and one that brings 64 MiB at a time to the disk. */
function startStress(folder: string): { stop(): void } {
  const spin = "while :; do :; done";
  const file = join(folder, "stress");
  const sync = `while :; do dd if=/dev/zero of=${file} bs=64M count=1 conv=fsync; done`;
  const children = [spin, spin, sync].map((script) =>
    spawn("sh", ["-c", script], { stdio: "ignore" })
  );
  return { stop: () => children.forEach(({ pid }) => sendSignal(pid!, "SIGKILL")) };
}
