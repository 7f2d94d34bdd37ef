/**
 * `node test/e2e/agents-60.ts --processes`: the same as `agents-60.test.ts`, with 60 daemons of their
 * own instead of 60 agents in one process. Needs root, some 6 GB of memory and a few minutes, so it
 * is run by hand. Prints what it found, and ends with status 1 where that is not what it should be.
 */
import process from "node:process";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Program } from "../../src/cli/lab/self.ts";
import { overlaps, parsePrefix } from "../../src/ip/prefix.ts";
import {
  eventually,
  joinBy,
  makeLab,
  makeToken,
  ownRoutes,
  singleBinary,
  subnetOf,
} from "../support/lab.ts";
import { leasesOf, settledViews, threeServers, wantedOf } from "../support/servers.ts";

const COUNT = 60;
const PATIENCE_MS = 300_000;

const startedMs = performance.now();
let failures = 0;

function report(what: string, ok = true): void {
  if (!ok) failures++;
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1).padStart(6);
  console.log(`${seconds} s  ${ok ? "ok  " : "FAIL"}  ${what}`);
}

async function main(): Promise<void> {
  const teardowns: (() => unknown)[] = [];
  try {
    const lab = await makeLab({ teardown: (callback) => void teardowns.push(callback) });
    const program = await singleBinary();
    const servers = await threeServers(lab, program);
    report("three servers vote");
    const agents: Host[] = [];
    for (let i = 0; i < COUNT; i++) agents.push(await lab.addHost(`n${i}`));
    report(`${COUNT} hosts are there`);
    await check(servers, agents, program);
  } finally {
    for (const teardown of teardowns.reverse()) await teardown();
  }
  report("everything is removed");
}

async function check(
  servers: readonly Host[],
  agents: readonly Host[],
  program: Program,
): Promise<void> {
  const token = await makeToken(servers[0]!, COUNT, ["--role", "agent"]);
  const joins = await Promise.allSettled(
    agents.map((host) => joinBy(host, program, servers[0]!, token, PATIENCE_MS)),
  );
  const refused = joins.filter(({ status }) => status === "rejected");
  report(`${COUNT - refused.length} of ${COUNT} have joined and are ready`, refused.length === 0);

  const leases = await leasesOf(servers[1]!);
  const prefixes = leases.map(({ subnet }) => parsePrefix(subnet));
  const meet = prefixes.filter((a, i) => prefixes.slice(i + 1).some((b) => overlaps(a, b)));
  const all = [...servers, ...agents];
  report(`${leases.length} leases, ${meet.length} overlap`, meet.length === 0);
  report("one for each node", leases.length === all.length);

  for (const host of all) {
    const wanted = wantedOf(leases, host.address).map((line) => `${line} dev eth0`);
    await eventually(`routes on ${host.name}`, async () => {
      return String(await ownRoutes(host)) === String(wanted) ? true : undefined;
    }, PATIENCE_MS);
    const [own] = leases.filter(({ publicIp }) => publicIp === host.address);
    if (await subnetOf(host) !== own?.subnet) report(`${host.name} has another subnet`, false);
  }
  report(`all ${all.length} nodes have a route to each of the ${all.length - 1} others`);
  const digests = new Set((await settledViews(servers)).map(({ digest }) => digest));
  report("the servers have the same state", digests.size === 1);
}

if (!process.argv.includes("--processes")) {
  console.error("node test/e2e/agents-60.ts --processes; the form in one process is a test");
  process.exitCode = 2;
} else {
  await main();
  if (failures > 0) process.exitCode = 1;
}
