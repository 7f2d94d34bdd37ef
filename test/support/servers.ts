import type { Host } from "../../src/cli/lab/host.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";
import type { Program } from "../../src/cli/lab/self.ts";
import { eventually, found, joinBy, makeToken, onNode } from "./lab.ts";

/** How a server stands, by its API. */
export interface RaftView {
  readonly revision: number;
  readonly digest: string;
}

export interface LeaseLine {
  readonly subnet: string;
  readonly publicIp: string;
}

/** Three real daemons that all vote. */
export async function threeServers(
  lab: Lab,
  program: Program = onNode,
): Promise<readonly [Host, Host, Host]> {
  const [a, b, c] = [await lab.addHost("a"), await lab.addHost("b"), await lab.addHost("c")];
  await found(a, program);
  const token = await makeToken(a, 2);
  await Promise.all([joinBy(b, program, a, token), joinBy(c, program, a, token)]);
  await eventually("three voters", async () => {
    const { items } = await a.get("/v1/nodes") as { items: { role: string }[] };
    const voters = items.filter(({ role }) => role === "leader" || role === "voter");
    return voters.length === 3 ? true : undefined;
  });
  return [a, b, c];
}

/** What a node has to route: everybody's subnet but that of its own address. */
export function wantedOf(leases: readonly LeaseLine[], own: string): string[] {
  return leases.filter(({ publicIp }) => publicIp !== own)
    .map(({ subnet, publicIp }) => `${subnet} via ${publicIp}`).sort();
}

export async function leasesOf(server: Host): Promise<readonly LeaseLine[]> {
  const path = "/v1/leases?consistency=linearizable";
  return (await server.get(path) as { items: LeaseLine[] }).items;
}

/** Revision and digest of each, once they are at the same revision. */
export async function settledViews(servers: readonly Host[]): Promise<readonly RaftView[]> {
  return await eventually("the servers are at one revision", async () => {
    const views = await Promise.all(servers.map((host) => host.get("/v1/raft")));
    const states = (views as RaftView[]).map(({ revision, digest }) => ({ revision, digest }));
    return new Set(states.map(({ revision }) => revision)).size === 1 ? states : undefined;
  });
}
