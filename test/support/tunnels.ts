/** Hosts whose containers reach each other by a backend that may need a tunnel. */
import type { Host } from "../../src/cli/lab/host.ts";
import { runProgram } from "../../src/cli/lab/ip.ts";
import type { Program } from "../../src/cli/lab/self.ts";
import { eventually, found, joinBy, makeToken } from "./lab.ts";

/** The first host forms the cluster and the others join it, each by its program. */
export async function formCluster(
  members: readonly (readonly [Host, Program])[],
  network: object,
): Promise<void> {
  const [first, ...others] = members;
  const [server, program] = first!;
  await found(server, program, JSON.stringify(network));
  const token = await makeToken(server);
  for (const [host, program] of others) await joinBy(host, program, server, token);
  const voters = members.length < 3 ? 1 : 3;
  await eventually("everybody has its role, which does not change later", async () => {
    const { items } = await server.get("/v1/nodes") as { items: { role: string }[] };
    const count = (...roles: string[]) => items.filter(({ role }) => roles.includes(role)).length;
    return count("leader", "voter") === voters && count("agent") === 0 ? true : undefined;
  });
}

interface DataPlaneStatus {
  readonly backend: string;
  readonly routes: Readonly<Record<string, number>>;
  readonly tunnel: Readonly<Record<string, number>>;
}

/** Waits until every host has so many routes in place, and nothing that is not. */
export async function untilInPlace(
  hosts: readonly Host[],
  routes: number,
  backend = "vxlan",
): Promise<void> {
  for (const host of hosts) {
    let seen: DataPlaneStatus | undefined;
    await eventually(`${routes} routes on ${host.name} by ${backend}`, async () => {
      seen = (await host.get("/v1/self") as { dataPlane: DataPlaneStatus }).dataPlane;
      const { ok, ...bad } = seen.routes;
      const { ok: _, ...broken } = seen.tunnel;
      const isWell = [...Object.values(bad), ...Object.values(broken)].every((n) => n === 0);
      return seen.backend === backend && ok === routes && isWell ? true : undefined;
    }).catch((error: Error) => {
      throw new Error(`${error.message}: it has ${JSON.stringify(seen)}`);
    });
  }
}

/** What a program prints in a host, or in its container; rejects where it fails. */
export async function inside(namespace: string, ...words: string[]): Promise<string> {
  const { status, out, err } = await runProgram("ip", ["netns", "exec", namespace, ...words]);
  if (status === 0) return out;
  throw new Error(`${words.join(" ")} ended with ${status}: ${err}`);
}

/** Whether an address answers a `ping` that a namespace sends with these options. */
export async function pings(
  namespace: string,
  to: string,
  ...options: string[]
): Promise<boolean> {
  const words = ["netns", "exec", namespace, "ping", "-c", "1", "-W", "2", ...options, to];
  return (await runProgram("ip", words)).status === 0;
}
