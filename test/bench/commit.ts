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
/** A token is remembered for a week: with more than a few thousand no cluster is like this. */
const HTTP_LOAD: Load = { inFlight: 64, durationMs: 400 };
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
    rows.push(await raceByHttp(pair, rounds));
    return benchResult("commit", rows);
  });
}

/** The write that the API has: a token, which is one entry too. Both are asked by one program. */
async function raceByHttp({ servers, etcd }: Pair, rounds: number): Promise<BenchRow> {
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let round = -1; round < rounds; round++) {
    const { socketPath } = await leaderOf(servers);
    const request = { url: "http://denim/v1/tokens", body: "{}", socketPath };
    const denim = await etcd.httpRate(request, HTTP_LOAD);
    const peer = await etcd.httpRate(putByHttp((await etcd.leader())!), HTTP_LOAD);
    if (round < 0) continue;
    ours.push(denim);
    theirs.push(peer);
  }
  return benchRow(
    `writes by HTTP, ${HTTP_LOAD.inFlight} in flight (tokens; etcd's JSON gateway)`,
    { denim: median(ours), peer: median(theirs), unit: "/s" },
    HTTP_GOAL,
  );
}
