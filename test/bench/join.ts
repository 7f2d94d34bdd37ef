/**
 * From a joiner's last request, which is before the commit of its lease, to the route on the last
 * of all other hosts: real daemons, each in a network namespace of its own. Needs root.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { JoinResult } from "../../src/agent/entry/admitting.ts";
import { hex } from "../../src/base/bytes.ts";
import { sleep, systemClock } from "../../src/base/clock.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";
import type { Program } from "../../src/cli/lab/self.ts";
import { openJoin } from "../../src/transport/join-client.ts";
import { createCsr, createKey } from "../../src/transport/pki.ts";
import { PROTOCOL } from "../../src/transport/protocol.ts";
import { decodeToken } from "../../src/transport/token.ts";
import { eventually, joinBy, makeLab, makeToken, ownRoutes } from "../support/lab.ts";
import { enterNamed } from "../support/namespace.ts";
import { threeServers } from "../support/servers.ts";
import { programOf } from "./pair.ts";
import { type BenchResult, benchResult, type BenchRow, benchRow, median } from "./result.ts";

const clock = systemClock();
const GOAL_MS = 25;
/**
 * A figure from an earlier, separate measurement: flanneld with its etcd already running, from its
 * start to the route on all others, 39 and 69 ms. It is not measured in this run, and starts its
 * clock elsewhere than the rows here, so it is for orientation; the better of the two stands.
 */
const FLANNEL_MS = 39;
const PATIENCE_MS = 10_000;
const PAUSE_MS = 700;
/** Nobody looks before: who reads along takes the processors from those that are measured. */
const LOOK_AFTER_MS = 100;

export async function run(options: { tiny: boolean }): Promise<BenchResult> {
  const [sizes, rounds] = options.tiny ? [[3], 3] : [[3, 20], 15];
  const teardowns: (() => unknown)[] = [];
  try {
    const lab = await makeLab({ teardown: (callback) => void teardowns.push(callback) });
    const servers = await threeServers(lab, programOf(options.tiny));
    // The joiners' place: an address that no daemon has.
    const outside = await lab.addHost("outside");
    const rows: BenchRow[] = [];
    let joiners = 0;
    for (const size of sizes) {
      const hosts = await grow(lab, servers, size, programOf(options.tiny));
      const times: number[] = [];
      for (let round = -1; round < rounds; round++) {
        const timeMs = await joinOnce(servers[0], hosts, outside, 150 + joiners++);
        if (round >= 0) times.push(timeMs);
      }
      rows.push(
        benchRow(
          `join request to the last route on ${size} hosts, against flannel's 39 ms`,
          { denim: median(times), peer: FLANNEL_MS, unit: "ms" },
          GOAL_MS / FLANNEL_MS,
        ),
      );
    }
    return benchResult("join", rows);
  } finally {
    for (const teardown of teardowns.reverse()) await teardown();
  }
}

async function grow(
  lab: Lab,
  servers: readonly Host[],
  size: number,
  program: Program,
): Promise<readonly Host[]> {
  const missing = size - servers.length;
  if (missing <= 0) return servers;
  const token = await makeToken(servers[0]!, missing, ["--role", "agent"]);
  const agents: Host[] = [];
  for (let i = 0; i < missing; i++) {
    const host = await lab.addHost(`agent${i}`);
    await joinBy(host, program, servers[0]!, token);
    agents.push(host);
  }
  const hosts = [...servers, ...agents];
  // Earlier joiners have leases too.
  for (const host of hosts) {
    await eventually(`routes on ${host.name}`, async () => {
      return (await ownRoutes(host)).length >= size - 1 ? true : undefined;
    });
  }
  return hosts;
}

/** Resolves with milliseconds until the route of a new node is on every host. */
async function joinOnce(
  server: Host,
  hosts: readonly Host[],
  outside: Host,
  number: number,
): Promise<number> {
  const token = decodeToken(await makeToken(server, 1, ["--role", "agent"]));
  const watchers = hosts.map((host) => new RouteWatcher(host));
  const leave = enterNamed(outside.namespace);
  try {
    await Promise.all(watchers.map((watcher) => watcher.started));
    // What making the token has stirred up is over by then.
    await sleep(clock, PAUSE_MS);
    const csr = await createCsr(await createKey());
    await using session = await openJoin(`${server.address}:7470`, {
      caPin: token.caPin,
      hello: { wants: "join", protocol: PROTOCOL, version: "bench" },
      ...{ clock, timeoutMs: PATIENCE_MS },
    });
    await session.begin({ tokenId: token.id, secret: hex(token.secret) }, PATIENCE_MS);
    const publicIp = `192.0.2.${number}`;
    const body = {
      ...{ csr, publicIp, name: `joiner-${number}`, address: `${publicIp}:7470` },
      features: { min: 1, max: 1 },
      ...{ version: "bench", storeId: hex(token.secret).slice(0, 16) },
      ...{ backendType: "host-gw", backendData: "null", wish: [] },
    };
    const startedMs = performance.timeOrigin + performance.now();
    const { lease } = await session.commit(body, PATIENCE_MS) as JoinResult;
    await sleep(clock, LOOK_AFTER_MS);
    const seen = await Promise.all(watchers.map((watcher) => watcher.seen(lease.subnets[0]!)));
    return Math.max(...seen) - startedMs;
  } finally {
    leave();
    watchers.forEach((watcher) => watcher.stop());
  }
}

/** `ip -ts monitor route` inside a host, into a file: its lines carry the microsecond. */
class RouteWatcher {
  readonly started: Promise<void>;
  readonly #child: ChildProcess;
  readonly #file: string;

  constructor({ namespace, folder }: Host) {
    this.#file = join(folder, "monitor");
    const words = ["-n", namespace, "-ts", "-o", "monitor", "route"];
    const output = openSync(this.#file, "w");
    this.#child = spawn("ip", words, { stdio: ["ignore", output, "ignore"] });
    closeSync(output);
    this.started = new Promise((resolve) => this.#child.once("spawn", resolve));
  }

  /** When the route came, milliseconds of the wall clock. */
  async seen(subnet: string): Promise<number> {
    const line = new RegExp(`^\\[(\\S+)\\] ${subnet.replaceAll(".", "\\.")} `, "m");
    return await eventually(`a route to ${subnet}`, async () => {
      const match = line.exec(readFileSync(this.#file, "utf8"));
      return match === null ? undefined : wallMs(match[1]!);
    }, PATIENCE_MS);
  }

  stop(): void {
    this.#child.kill();
  }
}

/** `2026-11-22T22:17:12.311255`, local time; `Date` drops what is below the millisecond. */
function wallMs(stamp: string): number {
  const [seconds, micros] = stamp.split(".") as [string, string];
  return new Date(seconds).getTime() + Number(micros) / 1_000;
}
