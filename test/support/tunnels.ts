/** Hosts whose containers reach each other by a backend that may need a tunnel. */
import type { Host } from "../../src/cli/lab/host.ts";
import { ipBatch, runProgram } from "../../src/cli/lab/ip.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";
import type { Program } from "../../src/cli/lab/self.ts";
import type { Family } from "../../src/ip/address.ts";
import { eventually, found, joinBy, makeToken } from "./lab.ts";

/** The addresses that every host of a lab has its default route by: `Lab.addHost`. */
const GATEWAYS = ["192.0.2.254/24", "2001:db8::fe/64"];
/** Of the other link, beyond the router. */
const FAR = { gateways: ["198.51.100.254/24", "2001:db8:9::fe/64"], four: "198.51.100" };

/**
 * A host on another link. The router between the two, which this makes, has no route but its own:
 * to it a container's address is unknown.
 */
export async function addFarHost(
  lab: Lab,
  name: string,
  families: readonly Family[] = [4],
): Promise<Host> {
  const router = await lab.addBareHost("router", ["192.0.2.254"]);
  await lab.addSwitch("far");
  await lab.lay(router, "eth0");
  await lab.lay(router, "eth1", "far");
  await router.set("net/ipv6/conf/all/forwarding", "1");
  await addresses(router, "eth0", GATEWAYS);
  await addresses(router, "eth1", FAR.gateways);
  const all = families.map((family) =>
    family === 4 ? `${FAR.four}.${lab.hosts.length}` : `2001:db8:9::${lab.hosts.length}`
  ) as [string, ...string[]];
  const host = await lab.addBareHost(name, all);
  await plugInFar(lab, host);
  return host;
}

async function plugInFar(lab: Lab, host: Host): Promise<void> {
  await lab.lay(host, "eth0", "far");
  const lengths = host.addresses.map((address) => address.includes(":") ? 64 : 24);
  await addresses(host, "eth0", host.addresses.map((address, i) => `${address}/${lengths[i]}`));
  await ipBatch(
    host.addresses.map((address) => {
      const [four, six] = FAR.gateways.map((gateway) => gateway.split("/")[0]);
      return address.includes(":") ? `route add ::/0 via ${six}` : `route add default via ${four}`;
    }),
    host.namespace,
  );
}

/** Duplicate detection would keep an IPv6 address from being used for seconds. */
async function addresses(host: Host, device: string, all: readonly string[]): Promise<void> {
  await host.set(`net/ipv6/conf/${device}/disable_ipv6`, "0");
  const lines = all.map((address) =>
    `addr add ${address} dev ${device}${address.includes(":") ? " nodad" : ""}`
  );
  await ipBatch([`link set ${device} up`, ...lines], host.namespace);
}

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
