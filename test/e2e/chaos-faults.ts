/** What befalls a daemon and nothing else: its host's kernel goes on, and so do its containers. */
import { spawnSync } from "node:child_process";
import { type Clock, sleep } from "../../src/base/clock.ts";
import type { Random } from "../../src/base/random.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import { runProgram } from "../../src/cli/lab/ip.ts";
import { sendSignal } from "../../src/cli/lab/signal.ts";
import { cannotLab, onNode, restart } from "../support/lab.ts";

/** Why hosts cannot be cut off from each other, or false: what `skip` wants. */
export const cannotCut: string | false = cannotLab ||
  (spawnSync("nft", ["--version"]).status === 0 ? false : "needs nft of the package nftables");

export type FaultKind = "kill" | "pause" | "partition";

export interface Harm {
  readonly hosts: readonly Host[];
  readonly clock: Clock;
  readonly random: Random;
  /** Once it is aborted, what was done is undone, and nothing more is done. */
  readonly signal: AbortSignal;
  readonly counts: Record<FaultKind, number>;
}

const KINDS = ["kill", "pause", "partition"] as const;
/** Longer than faults, so that mostly two of three servers see each other. */
const PEACE_MS = [1_000, 8_000] as const;
/** From less than an election takes to more than a call waits. */
const FAULT_MS = [300, 5_000] as const;

/** One fault after the other on one host, and peace between them; resolves with what went wrong. */
export async function harm(host: Host, options: Harm): Promise<string[]> {
  const { hosts, clock, random, signal, counts } = options;
  const failures: string[] = [];
  const pause = (range: readonly [number, number]) => sleep(clock, between(random, range), signal);
  for (await pause(PEACE_MS); !signal.aborted; await pause(PEACE_MS)) {
    if (!host.daemon!.isRunning) failures.push(`the daemon of ${host.name} has ended by itself`);
    const kind = KINDS[random.below(KINDS.length)]!;
    counts[kind]++;
    const peers = hosts.filter((other) => other !== host);
    const undo = await inflict(kind, host, peers, random);
    await pause(FAULT_MS);
    await undo();
  }
  return failures;
}

/** The result undoes it. */
async function inflict(
  kind: FaultKind,
  host: Host,
  peers: readonly Host[],
  random: Random,
): Promise<() => Promise<void>> {
  switch (kind) {
    case "kill":
      await host.daemon!.stop("SIGKILL");
      return () => restart(host, onNode);
    case "pause": {
      const { pid } = host.daemon!;
      sendSignal(pid, "SIGSTOP");
      return async () => sendSignal(pid, "SIGCONT");
    }
    case "partition":
      await nft(host, partition(peers, random));
      return () => nft(host, `delete table inet ${TABLE}`);
    default:
      return kind satisfies never;
  }
}

const TABLE = "chaos";
/** Only what daemons say to each other: containers never notice. */
const CONTROL_PORT = 7470;

/** From all peers or one, in both directions or one. */
function partition(peers: readonly Host[], random: Random): string {
  const gone = random.below(2) === 0 ? peers : [peers[random.below(peers.length)]!];
  const addresses = `{ ${gone.map(({ address }) => address).join(", ")} }`;
  const hooks = [["input", "saddr"], ["output", "daddr"]] as const;
  const cut = random.below(3);
  const rules = hooks.filter((_, i) => i !== cut).flatMap(([hook, side]) => [
    `add chain inet ${TABLE} ${hook} { type filter hook ${hook} priority 0; }`,
    ...["dport", "sport"].map((port) =>
      `add rule inet ${TABLE} ${hook} ip ${side} ${addresses} tcp ${port} ${CONTROL_PORT} drop`
    ),
  ]);
  return [`add table inet ${TABLE}`, ...rules].join("\n");
}

async function nft({ namespace }: Host, rules: string): Promise<void> {
  const words = ["netns", "exec", namespace, "nft", "-f", "-"];
  const { status, err } = await runProgram("ip", words, { input: rules });
  if (status !== 0) throw new Error(`nft in ${namespace}: ${err.trim()}`);
}

export function between(random: Random, [from, to]: readonly [number, number]): number {
  return from + random.below(to - from);
}
