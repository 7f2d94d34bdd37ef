/**
 * A cluster of real daemons while they are killed, paused and cut off from each other: three
 * servers and an agent in network namespaces, with clients, and with containers that must never
 * notice.
 *
 *   node test/e2e/chaos.ts --seconds 600 [--seed N]
 *
 * Needs root, iproute2 and nftables. The last line has the figures; the status is 0 where all that
 * was promised was kept. Where it was not, the history of the register stays in a file, for
 * `node test/sim/linearizable.ts FILE`. The seed says what is tried, not when all of it happens.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { sleep, systemClock } from "../../src/base/clock.ts";
import { seededRandom } from "../../src/base/random.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";
import type { Loss } from "../../src/cli/lab/probe.ts";
import { parseJepsen } from "../sim/jepsen.ts";
import { register } from "../sim/register.ts";
import { checkLinearizable } from "../sim/wgl.ts";
import {
  joinBy,
  makeLab,
  makeToken,
  onNode,
  subnetOf,
  untilReady,
  untilRouted,
} from "../support/lab.ts";
import { settledViews, threeServers } from "../support/servers.ts";
import { joinHosts, makeTokens, RegisterUse } from "./chaos-clients.ts";
import { cannotCut, type FaultKind, harm } from "./chaos-faults.ts";

export interface ChaosReport {
  /** What was promised and not kept. */
  readonly failures: readonly string[];
  /** Of the register, in the form of Jepsen's logs. */
  readonly history: string;
  readonly operations: number;
  readonly unknown: number;
  readonly faults: Readonly<Record<FaultKind, number>>;
  readonly elections: number;
  readonly tokens: number;
  readonly joins: number;
  readonly pings: number;
}

const CLIENTS = 5;
const PING_PERIOD_MS = 50;
const HEAL_MS = 60_000;
const clock = systemClock();

/** A cluster's worst minutes, and whether it is well afterwards. */
export async function chaos(lab: Lab, seconds: number, seed: number): Promise<ChaosReport> {
  const random = seededRandom(seed);
  const { hosts, token } = await start(lab);
  const over = new AbortController();
  const place = { hosts, clock, random, signal: over.signal };
  const faults = { kill: 0, pause: 0, partition: 0 };
  const use = new RegisterUse(place);
  await use.begin();
  const firstTerm = await newestTerm(hosts);
  await watch(hosts);
  // Each host has a chance of its own, or the clients' pace would choose the faults.
  const harms = hosts.map((host, i) =>
    harm(host, { ...place, random: seededRandom(seed * 100 + i), counts: faults })
  );
  const clients = Array.from({ length: CLIENTS }, () => use.client());
  const work = Promise.all([makeTokens(place), joinHosts(place, lab, token), ...harms, ...clients]);
  await Promise.race([sleep(clock, seconds * 1_000), work]);
  over.abort();
  const [tokens, subnets] = await work;
  const failures = [
    ...(await Promise.all(harms)).flat(),
    ...await found(() => heal(hosts)),
    ...await found(() => judge(use)),
    ...await found(() => missing(hosts, tokens, subnets)),
  ];
  const losses = (await Promise.all(hosts.map(({ container }) => container!.endWatch()))).flat();
  return {
    failures: [...failures, ...losses.filter(({ lost }) => lost > 0).map(lossOf)],
    ...{ history: `${use.lines.join("\n")}\n`, ...use.counts, faults },
    elections: await newestTerm(hosts).catch(() => firstTerm) - firstTerm,
    ...{ tokens: tokens.length, joins: subnets.length },
    pings: losses.reduce((sum, { sent }) => sum + sent, 0),
  };
}

/** Three servers, an agent and their containers. */
async function start(lab: Lab): Promise<{ hosts: readonly Host[]; token: string }> {
  const servers = await threeServers(lab);
  const token = await makeToken(servers[0], 100, ["--role", "agent"]);
  const agent = await lab.addHost("d");
  await joinBy(agent, onNode, servers[1], token);
  const hosts = [...servers, agent];
  await untilRouted(hosts);
  for (const host of hosts) await host.startContainer();
  return { hosts, token };
}

/** Every container sends to every other, until its watch ends. */
async function watch(hosts: readonly Host[]): Promise<void> {
  const addresses = hosts.map(({ container }) => container!.address);
  for (const { container } of hosts) {
    await container!.watch(addresses.filter((to) => to !== container!.address), PING_PERIOD_MS);
  }
}

/** What a check has found; that it cannot be made is a finding too. */
async function found(check: () => Promise<readonly string[]>): Promise<readonly string[]> {
  return await check().catch((error: unknown) => [describe(error)]);
}

function describe(error: unknown): string {
  const { message, why } = error as Error & { why?: string };
  return why === undefined ? message : `${message}: ${why}`;
}

async function heal(hosts: readonly Host[]): Promise<readonly string[]> {
  await untilReady(hosts, HEAL_MS);
  const digests = new Set((await settledViews(hosts.slice(0, 3))).map(({ digest }) => digest));
  return digests.size === 1 ? [] : ["the servers have different states"];
}

async function judge(use: RegisterUse): Promise<readonly string[]> {
  await use.end();
  const verdict = checkLinearizable(register, parseJepsen(use.lines.join("\n")));
  return verdict === "ok" ? [] : [`the history of the register is ${verdict}`];
}

/** What was acknowledged and is not there. */
async function missing(
  hosts: readonly Host[],
  tokens: readonly string[],
  subnets: readonly string[],
): Promise<readonly string[]> {
  const leases = await itemsOf(hosts[0]!, "/v1/leases?consistency=linearizable");
  const present = new Set([
    ...leases.map(({ subnet }) => subnet),
    ...(await itemsOf(hosts[0]!, "/v1/tokens")).map(({ id }) => id),
  ]);
  const own = await Promise.all(hosts.map(subnetOf));
  return [...own, ...subnets, ...tokens].filter((name) => !present.has(name))
    .map((name) => `${name} was acknowledged and is not there`);
}

async function itemsOf(host: Host, path: string): Promise<{ id?: string; subnet?: string }[]> {
  return (await host.get(path) as { items: { id?: string; subnet?: string }[] }).items;
}

/** Of those that answer. */
async function newestTerm(hosts: readonly Host[]): Promise<number> {
  const views = await Promise.all(hosts.map((host) => host.get("/v1/raft")));
  return Math.max(...(views as { term?: number }[]).map(({ term = 0 }) => term));
}

function lossOf({ to, sent, lost, gapMs }: Loss): string {
  return `${lost} of ${sent} pings to ${to} were lost, none came back for ${gapMs} ms`;
}

export function summary(report: ChaosReport): string {
  const { operations, unknown, faults, elections, tokens, joins, pings } = report;
  return `${operations} operations (${unknown} with an unknown outcome), ` +
    `${Object.entries(faults).map(([kind, count]) => `${count} ${kind}s`).join(", ")}, ` +
    `${elections} elections, ${tokens} tokens and ${joins} leases acknowledged, ${pings} pings, ` +
    `${report.failures.length} failures`;
}

/** Keeps a history that is wrong, and says where. */
export function keepHistory({ history }: ChaosReport): string {
  const path = join(mkdtempSync(join(tmpdir(), "denim-chaos-")), "register.log");
  writeFileSync(path, history);
  return path;
}

async function main(seconds: number, seed: number): Promise<void> {
  const teardowns: (() => unknown)[] = [];
  try {
    const lab = await makeLab({ teardown: (callback) => void teardowns.push(callback) });
    const report = await chaos(lab, seconds, seed);
    report.failures.forEach((failure) => console.log(`FAIL ${failure}`));
    if (report.failures.length > 0) console.log(`history: ${keepHistory(report)}`);
    console.log(`seed ${seed}, ${seconds} s: ${summary(report)}`);
    process.exitCode = report.failures.length > 0 ? 1 : 0;
  } finally {
    for (const teardown of teardowns.reverse()) await teardown();
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { seconds: { type: "string", default: "60" }, seed: { type: "string" } },
  });
  const [seconds, seed] = [Number(values.seconds), Number(values.seed ?? Date.now() % 1e6)];
  if (cannotCut || !(seconds > 0) || !Number.isInteger(seed)) {
    console.error(cannotCut || "usage: node test/e2e/chaos.ts --seconds N [--seed N]");
    process.exitCode = 2;
  } else await main(seconds, seed);
}
