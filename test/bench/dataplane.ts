/** Container to container over Denim, and over the same path with routes that were made by hand. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import type { Host } from "../../src/cli/lab/host.ts";
import { ipBatch } from "../../src/cli/lab/ip.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";
import { found, joinBy, makeLab, makeToken, untilRouted } from "../support/lab.ts";
import { measure, untilListening } from "./iperf.ts";
import type { BenchOptions } from "./main.ts";
import { programOf } from "./pair.ts";
import { type BenchResult, benchResult, benchRow, median } from "./result.ts";

const TARGET = 0.97;
const PAIRS = 10;
const SECONDS = 2;

export const cannotRun: string | false = spawnSync("iperf3", ["--version"]).error === undefined
  ? false
  : "needs iperf3";

/** Two hosts whose containers can talk. */
type Path = readonly [Host, Host];

export async function run({ tiny }: BenchOptions): Promise<BenchResult> {
  const teardowns: (() => unknown)[] = [];
  try {
    const lab = await makeLab({ teardown: (callback) => void teardowns.push(callback) });
    const denim = await byDenim(lab, tiny);
    const hand = await byHand(lab);
    for (const [, server] of [denim, hand]) teardowns.push(await untilListening(server));
    const rates: { denim: number; hand: number }[] = [];
    const seconds = tiny ? 1 : SECONDS;
    for (let i = 0; i < (tiny ? 2 : PAIRS); i++) {
      // Each is first as often as the other.
      const order = i % 2 === 0 ? [denim, hand] as const : [hand, denim] as const;
      const [first, second] = [await measure(order[0], seconds), await measure(order[1], seconds)];
      rates.push(i % 2 === 0 ? { denim: first, hand: second } : { denim: second, hand: first });
    }
    const middle = [...rates].sort((a, b) =>
      a.denim / a.hand - b.denim / b.hand
    )[rates.length >> 1]!;
    const row = { denim: middle.denim, peer: middle.hand, unit: "/s" } as const;
    const spread = `${
      median(rates.map(({ denim }) => denim / 1e9)).toFixed(1)
    } Gbit/s at the median`;
    return benchResult("dataplane", [
      benchRow(
        `bits between containers, the pair in the middle of ${rates.length}; ${spread}`,
        row,
        TARGET,
      ),
    ]);
  } finally {
    for (const teardown of teardowns.reverse()) await teardown();
  }
}

async function byDenim(lab: Lab, tiny: boolean): Promise<Path> {
  const program = programOf(tiny);
  const [a, b] = [await lab.addHost("a"), await lab.addHost("b")];
  await found(a, program);
  await joinBy(b, program, a, await makeToken(a));
  await untilRouted([a, b]);
  for (const host of [a, b]) await host.startContainer();
  return [a, b];
}

/** What somebody would type who has two hosts and time. */
async function byHand(lab: Lab): Promise<Path> {
  const hosts = [await lab.addHost("c"), await lab.addHost("d")] as const;
  for (const [i, host] of hosts.entries()) {
    const other = hosts[1 - i]!;
    await ipBatch([`route add 10.245.${2 - i}.0/24 via ${other.address}`], host.namespace);
    writeFileSync(host.subnetFile, `FLANNEL_SUBNET=10.245.${i + 1}.1/24\nFLANNEL_MTU=1500\n`);
    await host.startContainer();
  }
  return hosts;
}
