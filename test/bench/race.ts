/** The same question to both sides in turn, with the same number of them under way. */
import type { Host } from "../../src/cli/lab/host.ts";
import { type BenchAgent, rateOf } from "./agent.ts";
import type { Load } from "./etcd.ts";
import { leaderOf, type Pair } from "./pair.ts";
import { type BenchRow, benchRow, median } from "./result.ts";

export interface Question {
  /** For the row. */
  readonly name: string;
  readonly kind: string;
  readonly body: (agent: BenchAgent) => unknown;
  /** What etcd is asked. */
  readonly verb: "put" | "get";
}

export interface Terms {
  readonly load: Load;
  readonly rounds: number;
  readonly goal: number;
}

/** Which is faster depends on the load: for either side its own best one stands. */
const WAYS = ["one connection to the leader", "one to each server"] as const;
type Way = (typeof WAYS)[number];

export async function race(pair: Pair, question: Question, terms: Terms): Promise<BenchRow> {
  const { load, rounds, goal } = terms;
  const ours = WAYS.map((): number[] => []);
  const theirs = WAYS.map((): number[] => []);
  // One round to warm both up; then in turn, so that a busy machine disturbs both.
  for (let round = -1; round < rounds; round++) {
    for (const [i, way] of WAYS.entries()) {
      const denim = await askDenim(pair, question, load, way);
      const peer = await askEtcd(pair, question, load, way);
      if (round < 0 && rounds > 1) continue;
      ours[i]!.push(denim);
      theirs[i]!.push(peer);
    }
  }
  const [denim, peer] = [fastest(ours), fastest(theirs)];
  return benchRow(
    `${question.name}, ${load.inFlight} in flight (${denim.way}; etcd: ${peer.way})`,
    { denim: denim.rate, peer: peer.rate, unit: "/s" },
    goal,
  );
}

function fastest(rates: readonly (readonly number[])[]): { rate: number; way: Way } {
  return WAYS.map((way, i) => ({ rate: median(rates[i]!), way }))
    .sort((a, b) => b.rate - a.rate)[0]!;
}

/** Each connection is another agent's. */
async function askDenim(
  { servers, agents }: Pair,
  { kind, body }: Question,
  load: Load,
  way: Way,
): Promise<number> {
  const wanted = hostsOf(way, await leaderOf(servers), servers);
  const lines = await Promise.all(wanted.map(async (server, i) => {
    const agent = agents[i]!;
    return { channel: await agent.connect(server), body: body(agent) };
  }));
  try {
    return await rateOf((asker) => {
      const { channel, body } = lines[asker % lines.length]!;
      return channel.request(kind, body);
    }, load);
  } finally {
    lines.forEach(({ channel }) => channel.close());
  }
}

async function askEtcd(
  { servers, etcd }: Pair,
  { verb }: Question,
  load: Load,
  way: Way,
): Promise<number> {
  const leader = await etcd.leader();
  if (leader === undefined) throw new Error("etcd has no leader");
  return await etcd.rate(verb, load, hostsOf(way, leader, servers));
}

function hostsOf(way: Way, leader: Host, all: readonly Host[]): readonly Host[] {
  switch (way) {
    case "one connection to the leader":
      return [leader];
    case "one to each server":
      return all;
    default:
      return way satisfies never;
  }
}
