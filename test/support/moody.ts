/** Three real hosts, each on a runtime of its own, with a backend that fails as it is asked to. */
import type { Host } from "../../src/cli/lab/host.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";
import { putBackend } from "./foreign.ts";
import {
  eventually,
  found,
  joinBy,
  makeLab,
  makeToken,
  onDeno,
  onNode,
  ownRoutes,
  singleBinary,
  typed,
  untilRouted,
  watchAll,
} from "./lab.ts";
import type { Test } from "tap";

/** Does what the network config asks it for: all hosts meet the same fault at once, while they run. */
export const MOODY = `import { defineBackend } from "denim/backend";
import process from "node:process";
import { routeOf } from "./route.ts";

const all: unknown[] = [];

export const backend = defineBackend<string, null>({
  contract: 1,
  name: "moody",
  parseConfig: (json) => (json as { Fault?: string }).Fault ?? "",
  parseData: () => null,
  publish: (host) => ({ data: null, mtu: host.link.mtu }),
  plan({ host, network, config, peers }) {
    const routes = peers.flatMap((peer) => peer.subnets.map((to) => routeOf(to, peer, host)));
    const [first] = routes;
    switch (config) {
      case "throw":
        throw new RangeError("too far");
      case "loop":
        for (;;);
      case "memory":
        for (;;) all.push("x".repeat(10) + { n: all.length }.n);
      case "exit":
        process.exit(3);
      case "object":
        return { routes } as never;
      case "link":
        return [{ kind: "link", name: "eth0", network, mac: "02:00:00:00:00:01", mtu: 1200 }];
      case "default":
        return [{ ...first!, destination: { family: 4, base: 0n, length: 0 } }];
    }
    return routes;
  },
});
`;

export const ROUTE = `import { type Host, ofFamily, type Peer, type Prefix } from "denim/backend";

export const routeOf = (destination: Prefix, { publicIps }: Peer<null>, { link }: Host) => ({
  kind: "route" as const,
  destination,
  via: ofFamily(publicIps, destination.family)!,
  device: link.name,
});
`;

/** Ten times what it takes where nothing else runs: time limits and waits are in there. */
const FAULT_MS = 120_000;

/** The single binary, Deno, and Node. */
export async function threeRuntimes(
  t: Test,
  backend: object,
  prepare: (hosts: readonly Host[], lab: Lab) => Promise<void> | void,
): Promise<readonly [Host, Host, Host]> {
  const lab = await makeLab(t);
  const hosts = [await lab.addHost("a"), await lab.addHost("b"), await lab.addHost("c")] as const;
  await prepare(hosts, lab);
  const [a, b, c] = hosts;
  await found(a, await singleBinary(), configOf(backend));
  const token = await makeToken(a);
  await joinBy(b, onDeno, a, token);
  await joinBy(c, onNode, a, token);
  return hosts;
}

export function putMoody(host: Host, text = MOODY, name = "moody"): void {
  const named = text.replace('name: "moody"', `name: "${name}"`);
  putBackend(host.backendsDir, { "mod.ts": named, "route.ts": ROUTE }, name);
}

export async function setNetwork(host: Host, backend: object): Promise<void> {
  const { status, err } = await typed(host, ["network", "set", configOf(backend)]);
  if (status !== 0) throw new Error(err);
}

function configOf(backend: object): string {
  return JSON.stringify({ Network: "10.244.0.0/16", Backend: backend });
}

/** What a host's daemon has to say of itself, as `denim status` shows it. */
export async function notesOf(host: Host): Promise<string> {
  const { ready, checks } = await host.get("/v1/self") as {
    ready: boolean;
    checks: readonly { name: string; ok: boolean; why?: string }[];
  };
  const notes = checks.filter(({ ok, why }) => !ok || why !== undefined)
    .map(({ name, why }) => `! ${name}: ${why}\n`);
  return `${notes.join("")}${ready ? "ready" : "not ready"}`;
}

/** @returns the notes that say so */
export async function untilSaid(host: Host, said: RegExp): Promise<string> {
  let notes = "";
  try {
    return await eventually(`${host.name} says ${said}`, async () => {
      notes = await notesOf(host).catch(() => "");
      return said.test(notes) ? notes : undefined;
    }, FAULT_MS);
  } catch (error) {
    throw new Error(`${host.name} does not say ${said}, but: ${notes}`, { cause: error });
  }
}

/** Of a backend that has failed, and of nothing else; and containers can be started. */
function onlySaying({ source }: RegExp): RegExp {
  return new RegExp(`^(?=[^]*${source})! routes: The backend "moody" has failed.*\\nready$`);
}

/** Nothing is wrong any more. */
export async function untilWell(hosts: readonly Host[]): Promise<void> {
  for (const host of hosts) await untilSaid(host, /^ready$/);
}

/** What the network config asks for, and what every host then says of its own file. */
export type Fault = readonly [fault: string, said: RegExp];

/** Has all three meet each fault, with containers that talk all the while; then all is well again. */
export async function meetFaults(
  t: Test,
  faults: readonly Fault[],
  timeout: number,
): Promise<void> {
  const hosts = await threeRuntimes(
    t,
    { Type: "moody" },
    (hosts) => hosts.forEach((host) => putMoody(host)),
  );
  await untilRouted(hosts);
  for (const host of hosts) await host.startContainer();
  const before = await routesOf(hosts);
  const endWatch = await watchAll(hosts);
  for (const [fault, said] of faults) {
    await t.test(`its plan: ${fault}`, { timeout }, async (t) => {
      await setNetwork(hosts[0], { Type: "moody", Fault: fault });
      for (const host of hosts) {
        const notes = await untilSaid(host, onlySaying(said));
        t.match(notes, said, host.name);
        const log = host.daemon!.logTail(1_000).filter((line) => line.includes("moody/mod.ts"));
        t.ok(log.length > 0, "the log says it, too");
      }
      await standsAsBefore(t, hosts, before);
      const { out } = await typed(hosts[0], ["status"]);
      t.match(out, /\n! routes: The backend "moody" has failed/, "a person reads it in the status");
      await setNetwork(hosts[0], { Type: "moody" });
      await untilWell(hosts);
      await standsAsBefore(t, hosts, before);
    });
  }
  await t.test("and all the while not a packet was lost", async (t) => {
    t.same(await endWatch(), []);
  });
}

function routesOf(hosts: readonly Host[]): Promise<string[][]> {
  return Promise.all(hosts.map((host) => ownRoutes(host)));
}

async function standsAsBefore(t: Test, hosts: readonly Host[], before: readonly string[][]) {
  t.same(await routesOf(hosts), before);
  t.ok(hosts.every(({ daemon }) => daemon!.isRunning), "all daemons are up");
}
