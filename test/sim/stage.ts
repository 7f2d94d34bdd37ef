import { asDenimError } from "../../src/base/errors.ts";
import type { SimCluster } from "./cluster.ts";
import type { Host } from "./host.ts";
import { demand } from "./violation.ts";
import type { Workload } from "./workload.ts";
import type { World } from "./world.ts";

/** A cluster and its time, as scenarios use them. */
export interface Stage {
  readonly world: World;
  readonly cluster: SimCluster;
  readonly workload: Workload;
  /** Lets time pass under the eyes of all observers. */
  pass(durationMs: number): Promise<void>;
  /** A new machine, observed, in no cluster yet. */
  newHost(): Host;
}

/** Lets time pass until the work is done. @throws what it throws */
export async function during<T>(stage: Stage, work: Promise<T>): Promise<T> {
  let outcome: { readonly value: T } | { readonly error: unknown } | undefined;
  work.then((value) => (outcome = { value }), (error) => (outcome = { error }));
  for (let i = 0; i < 600 && outcome === undefined; i++) await stage.pass(100);
  demand(outcome !== undefined, "a call ends", () => "it took more than a minute");
  if ("error" in outcome!) throw asDenimError(outcome!.error);
  return outcome!.value;
}

/** Whether it comes true within so much time. */
export async function soon(
  stage: Stage,
  timeoutMs: number,
  holds: () => boolean,
): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < timeoutMs && !holds(); waitedMs += 100) await stage.pass(100);
  return holds();
}

export function leaderOf({ cluster }: Stage): Host | undefined {
  return cluster.up.find(({ node }) => node!.control.replica?.leads === true);
}

export async function aLeader(stage: Stage): Promise<Host> {
  await soon(stage, 20_000, () => leaderOf(stage) !== undefined);
  const leader = leaderOf(stage);
  demand(leader !== undefined, "somebody leads", () => "nobody does after twenty seconds");
  return leader!;
}

/** Nothing gets to the host, and nothing from it. */
export function isolate({ cluster }: Stage, host: Host): void {
  for (const other of cluster.hosts) {
    if (other === host) continue;
    cluster.network.cut(host.name, other.name);
    cluster.network.cut(other.name, host.name);
  }
}
