/**
 * Many routes at once: our batches against `ip -batch`, the fastest that a script can do. Needs
 * root; works in a namespace of its own.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LinuxKernel } from "../../src/kernel/linux-kernel.ts";
import type { Change, Kernel } from "../../src/plan/kernel.ts";
import { formatChange } from "../../src/plan/text.ts";
import { enterNamespace, ip } from "../support/namespace.ts";
import { route } from "../support/routes.ts";
import { type BenchResult, benchResult, benchRow, median } from "./result.ts";

export async function run(options: { tiny: boolean }): Promise<BenchResult> {
  const [count, rounds] = options.tiny ? [50, 1] : [2_000, 7];
  const scratch = mkdtempSync(join(tmpdir(), "denim-bench-"));
  const leave = enterNamespace();
  try {
    ip("link add eth0 type veth peer name eth0p");
    ip("address add 10.0.0.1/24 dev eth0");
    ip("link set eth0p up");
    ip("link set eth0 up");
    await using kernel = await LinuxKernel.open();
    return await measure(kernel, { count, rounds, scratch });
  } finally {
    leave();
    rmSync(scratch, { recursive: true });
  }
}

async function measure(
  kernel: Kernel,
  { count, rounds, scratch }: { count: number; rounds: number; scratch: string },
): Promise<BenchResult> {
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
  return benchResult("netlink", [
    row(0, "add, against ip -batch", 0.8),
    row(1, "read links, addresses and routes, against ip route show", 2),
    row(2, "remove, against ip -batch", 0.8),
  ]);
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
