/** Denim and etcd side by side: three of each in the same three hosts, on the same disk. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { findTarget, HOST_TARGET } from "../../compile/targets.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Program } from "../../src/cli/lab/self.ts";
import { eventually, makeLab, onNode } from "../support/lab.ts";
import { enterNamed } from "../support/namespace.ts";
import { root } from "../support/root.ts";
import { threeServers } from "../support/servers.ts";
import { BenchAgent } from "./agent.ts";
import { Etcd } from "./etcd.ts";

export interface Pair {
  readonly servers: readonly Host[];
  readonly etcd: Etcd;
  /** Members that are connected by themselves, from a host that runs no daemon. */
  readonly agents: readonly BenchAgent[];
  readonly program: Program;
}

/** Whose agents have these numbers, no host has. */
const FIRST_AGENT = 100;

/** Calls back with both running, and removes them. */
export async function withPair<T>(
  options: { readonly tiny: boolean; readonly agents: number },
  use: (pair: Pair) => Promise<T>,
): Promise<T> {
  const teardowns: (() => unknown)[] = [];
  try {
    const lab = await makeLab({ teardown: (callback) => void teardowns.push(callback) });
    const program = programOf(options.tiny);
    const servers = await threeServers(lab, program);
    const outside = await lab.addHost("outside");
    const etcd = await Etcd.start(servers, outside);
    // From here on this process is the client of both.
    teardowns.push(enterNamed(outside.namespace));
    const agents: BenchAgent[] = [];
    for (let i = 0; i < options.agents; i++) {
      agents.push(await BenchAgent.join(servers[0], FIRST_AGENT + i));
    }
    return await use({ servers, etcd, agents, program });
  } finally {
    for (const teardown of teardowns.reverse()) await teardown();
  }
}

/** What users run, where it was built. */
export function programOf(tiny: boolean): Program {
  const binary = join(root, findTarget(HOST_TARGET)!.output);
  return !tiny && existsSync(binary) ? [binary] : onNode;
}

/** Where Denim's leader is. */
export async function leaderOf(servers: readonly Host[]): Promise<Host> {
  return await eventually("a leader", async () => {
    for (const host of servers) {
      const { role } = await host.get("/v1/raft").catch(() => ({})) as { role?: string };
      if (role === "leader") return host;
    }
    return undefined;
  });
}
