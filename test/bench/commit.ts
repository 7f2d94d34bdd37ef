/**
 * Lease writes through three real servers: renewals over the connections that agents have, with
 * mutual TLS, against what flanneld puts into three members of etcd, by gRPC without TLS, which is
 * the fastest way in (its JSON gateway has a row of its own). Needs root.
 */
import { KIND } from "../../src/transport/protocol.ts";
import { cannotCompare, type Load, putByHttp } from "./etcd.ts";
import type { BenchOptions } from "./main.ts";
import { leaderOf, type Pair, withPair } from "./pair.ts";
import { type Question, race } from "./race.ts";
import { type BenchResult, benchResult, type BenchRow, benchRow, median } from "./result.ts";

export const cannotRun = cannotCompare;

/** By how many writes are under way at once. */
const GOALS = [[1, 1], [16, 1], [64, 1.5], [256, 1.5]] as const;
const HTTP_IN_FLIGHT = 64;
/** None: agents do not write by HTTP. It is shown beside what they do. */
const HTTP_GOAL = 0;
const QUESTION: Question = {
  name: "lease writes",
  kind: KIND.propose,
  body: ({ renewal: command }) => ({ command }),
  verb: "put",
};

export async function run({ tiny }: BenchOptions): Promise<BenchResult> {
  const [goals, rounds, durationMs] = tiny ? [[GOALS[1]], 1, 300] as const : [GOALS, 5, 1_000];
  return await withPair({ tiny, agents: 3 }, async (pair) => {
    const rows: BenchRow[] = [];
    for (const [inFlight, goal] of goals) {
      rows.push(await race(pair, QUESTION, { load: { inFlight, durationMs }, rounds, goal }));
    }
    // A token is remembered for a week: more than a few thousand are no use of this.
    const load = { inFlight: HTTP_IN_FLIGHT, durationMs: durationMs / 4 };
    rows.push(await raceByHttp(pair, load, rounds));
    return benchResult("commit", rows);
  });
}

/** The write that the API has: a token, which is one entry too. Both are asked by one program. */
async function raceByHttp(
  { servers, etcd }: Pair,
  load: Load,
  rounds: number,
): Promise<BenchRow> {
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const { socketPath } = await leaderOf(servers);
    const request = { url: "http://denim/v1/tokens", body: "{}", socketPath };
    ours.push(await etcd.httpRate(request, load));
    theirs.push(await etcd.httpRate(putByHttp((await etcd.leader())!), load));
  }
  return benchRow(
    `writes by HTTP, ${load.inFlight} in flight (tokens; etcd's JSON gateway)`,
    { denim: median(ours), peer: median(theirs), unit: "/s" },
    HTTP_GOAL,
  );
}
