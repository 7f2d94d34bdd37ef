/**
 * Reads that have seen every write acknowledged before: as an agent asks for one, which then looks
 * into its own copy as often as it likes, against a get of etcd by gRPC. Needs root.
 */
import { KIND } from "../../src/transport/protocol.ts";
import { cannotCompare } from "./etcd.ts";
import type { BenchOptions } from "./main.ts";
import { withPair } from "./pair.ts";
import { type Question, race } from "./race.ts";
import { type BenchResult, benchResult } from "./result.ts";

export const cannotRun = cannotCompare;

const IN_FLIGHT = 64;
const GOAL = 1;

const QUESTION: Question = {
  name: "linearizable reads",
  kind: KIND.read,
  body: () => ({}),
  verb: "get",
};

export async function run({ tiny }: BenchOptions): Promise<BenchResult> {
  const [rounds, durationMs] = tiny ? [1, 300] : [7, 1_000];
  return await withPair({ tiny, agents: 3 }, async (pair) => {
    const load = { inFlight: IN_FLIGHT, durationMs };
    return benchResult("read", [await race(pair, QUESTION, { load, rounds, goal: GOAL })]);
  });
}
