/**
 * Large tables: our batches against `ip -batch`, the fastest that a script can do; a pass that finds
 * nothing to do; and a stranger who changes a lot while nobody looks. Needs root; works in a
 * namespace of its own.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { LinuxKernel } from "../../src/kernel/linux-kernel.ts";
import type { Change, Kernel } from "../../src/plan/kernel.ts";
import { formatChange } from "../../src/plan/text.ts";
import { enterNamespace, ip } from "../support/namespace.ts";
import { reconcilePeers } from "../support/many-peers.ts";
import { route } from "../support/routes.ts";
import { type BenchResult, benchResult, type BenchRow, benchRow, median } from "./result.ts";

/** What an unchanged table of this many peers may cost each time that somebody looks at it. */
const PEERS = 5_000;
const PASS_CPU_MS = 50;

/** Passes after which the runtime has compiled what they do: a daemon makes thousands of them. */
const WARM_UP = 5;

/** After which a pass waits for nothing. */
const QUIET_MS = 1_000;

export async function run({ tiny }: { tiny: boolean }): Promise<BenchResult> {
  const scratch = mkdtempSync(join(tmpdir(), "denim-bench-"));
  const leave = enterNamespace();
  try {
    ip("link add eth0 type veth peer name eth0p");
    ip("address add 10.0.0.1/16 dev eth0");
    ip("link set eth0p up");
    ip("link set eth0 up");
    await using kernel = await LinuxKernel.open();
    const [count, rounds, peers] = tiny ? [50, 1, 20] : [10_000, 7, PEERS];
    return benchResult("routes", [
      ...await againstIp(kernel, { count, rounds, scratch }),
      ...await withPeers(kernel, { peers, rounds, scratch }),
    ]);
  } finally {
    leave();
    rmSync(scratch, { recursive: true });
  }
}

async function againstIp(
  kernel: Kernel,
  { count, rounds, scratch }: { count: number; rounds: number; scratch: string },
): Promise<readonly BenchRow[]> {
  const items = Array.from(
    { length: count },
    (_, i) => route(`10.42.${i >> 8}.${i & 255}/32`, `10.0.0.${2 + i % 200}`),
  );
  const adds = items.map((item): Change => ({ kind: "add", item }));
  const removals = items.map((item): Change => ({ kind: "remove", item }));
  const [addFile, removeFile] = [join(scratch, "add"), join(scratch, "remove")];
  writeFileSync(addFile, batchOf(adds));
  writeFileSync(removeFile, batchOf(removals));
  const ours: number[][] = [[], [], []];
  const theirs: number[][] = [[], [], []];
  // One round to warm both up; then in turn, so that a busy machine disturbs both.
  for (let round = -1; round < rounds; round++) {
    const times = [
      await took(() => applyAll(kernel, adds)),
      await took(() => readAll(kernel, count)),
      await took(() => applyAll(kernel, removals)),
    ];
    const peers = [
      await took(() => runIp("-batch", addFile)),
      await took(() => runIp("route", "show")),
      await took(() => runIp("-batch", removeFile)),
    ];
    if (round < 0) continue;
    times.forEach((time, i) => ours[i]!.push(time));
    peers.forEach((time, i) => theirs[i]!.push(time));
  }
  const row = (i: number, name: string, target: number) =>
    benchRow(
      `${name} (${count} routes)`,
      { denim: median(ours[i]!), peer: median(theirs[i]!), unit: "ms" },
      target,
    );
  return [
    row(0, "add, against ip -batch", 0.6),
    row(1, "read links, addresses and routes, against ip route show", 2),
    row(2, "remove, against ip -batch", 0.6),
  ];
}

/** The reconciler at a network of many hosts: nothing to do, and everything. */
async function withPeers(
  kernel: Kernel,
  { peers, rounds, scratch }: { peers: number; rounds: number; scratch: string },
): Promise<readonly BenchRow[]> {
  await using table = reconcilePeers(kernel, peers);
  await table.untilRight();
  const [addFile, removeFile] = [join(scratch, "add"), join(scratch, "remove")];
  writeFileSync(addFile, batchOf(table.wanted.map((item) => ({ kind: "add", item }))));
  writeFileSync(removeFile, batchOf(table.wanted.map((item) => ({ kind: "remove", item }))));
  const idle: number[] = [];
  for (let i = 0; i < Math.min(rounds, WARM_UP); i++) await table.look();
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage();
    await table.look();
    const { user, system } = process.cpuUsage(before);
    idle.push((user + system) / 1000);
  }
  const repairs: number[] = [];
  const byHand: number[] = [];
  for (let round = 0; round < Math.min(rounds, 3); round++) {
    // Passes pay for earlier ones by waiting; what is measured here is the one after a quiet time.
    for (let i = 0; i < 2; i++) await table.look();
    await delay(QUIET_MS);
    // The loop stands still meanwhile, and the events wait for it or are lost.
    runIp("-batch", removeFile);
    repairs.push(await took(() => table.nextPass().then(() => readAll(kernel, peers))));
    runIp("-batch", removeFile);
    byHand.push(await took(() => runIp("-batch", addFile)));
  }
  return [
    benchRow(
      `processor time of a pass over an unchanged table (${peers} peers), against a limit`,
      { denim: median(idle), peer: PASS_CPU_MS, unit: "ms" },
      1,
    ),
    benchRow(
      `back after a stranger took all while the loop stood still (${peers}), against ip -batch`,
      { denim: median(repairs), peer: median(byHand), unit: "ms" },
      2,
    ),
  ];
}

/** `ip -batch` leaves out the first word. */
function batchOf(changes: readonly Change[]): string {
  return changes.flatMap(formatChange).map((line) => `${line.replace(/^ip /, "")}\n`).join("");
}

async function applyAll(kernel: Kernel, changes: readonly Change[]): Promise<void> {
  const failed = (await kernel.apply(changes)).find((outcome) => outcome.error !== undefined);
  if (failed !== undefined) throw new Error(failed.error);
}

async function readAll(kernel: Kernel, count: number): Promise<void> {
  const { routes } = await kernel.read();
  if (routes.length < count) throw new Error(`${routes.length} routes instead of ${count}`);
}

function runIp(...words: string[]): void {
  const result = spawnSync("ip", words, { encoding: "utf8" });
  if (result.status !== 0) throw new Error(`ip ${words.join(" ")}: ${result.stderr}`);
}

async function took(action: () => Promise<void> | void): Promise<number> {
  const startedMs = performance.now();
  await action();
  return performance.now() - startedMs;
}
