import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { DenimError } from "../../base/errors.ts";
import type { Host } from "../lab/host.ts";
import { type ApiPlace, getJson } from "../lab/http.ts";
import type { Lab } from "../lab/lab.ts";
import type { Program } from "../lab/self.ts";
import { waitFor } from "../lab/wait.ts";
import { StepFailure, type Steps } from "./steps.ts";

export interface Play {
  readonly lab: Lab;
  readonly steps: Steps;
  readonly clock: Clock;
  readonly program: Program;
  readonly hosts: number;
  /** The port outside of the namespaces, and how it is reached from here. */
  readonly api: { readonly port: number; readonly outside: ApiPlace };
  readonly signal: AbortSignal;
}

export interface HostReport {
  readonly name: string;
  readonly role: string;
  readonly subnet: string;
  readonly address: string;
  readonly container: string;
  readonly routes: readonly string[];
  /** By the name of the other host: milliseconds there and back, `null` for no answer. */
  readonly reaches: Readonly<Record<string, number | null>>;
}

export const NETWORK = "10.244.0.0/16";

const READY_MS = 30_000;
const SETTLE_MS = 20_000;
const REACH_MS = 3_000;

/** From nothing to containers that reach each other. Rejects with a {@link StepFailure}. */
export async function play(demo: Play): Promise<readonly HostReport[]> {
  await addHosts(demo);
  const [first, ...others] = demo.lab.hosts as [Host, ...Host[]];
  await startNode(demo, first, "init", ["init", "--network", NETWORK]);
  const tokenFile = await createToken(demo, first, others.length);
  for (const host of others) {
    const words = ["join", first.address, "--token-file", tokenFile];
    await startNode(demo, host, `join ${first.address}`, words);
  }
  await settle(demo, first);
  await startContainers(demo);
  const reaches = await probe(demo);
  await askFromOutside(demo);
  return await report(demo, first, reaches);
}

/** Runs a step that is about one host, whose log is shown when it fails. */
async function stepOf<T>(
  { steps, signal }: Play,
  host: Host | undefined,
  what: string,
  act: () => Promise<T>,
  tell?: (result: T) => string,
): Promise<T> {
  try {
    if (signal.aborted) throw new DenimError("CANCELLED", "Interrupted");
    return await steps.run(what, act, tell);
  } catch (error) {
    throw new StepFailure(error, host?.name);
  }
}

async function addHosts(demo: Play): Promise<void> {
  const names = Array.from({ length: demo.hosts }, (_, at) => String.fromCharCode(97 + at));
  const what = `${demo.hosts} hosts, each a network namespace, on one link`;
  await stepOf(demo, undefined, what, async () => {
    for (const name of names) await demo.lab.addHost(name);
  }, () => demo.lab.hosts.map(({ name, address }) => `${name} ${address}`).join(", "));
}

async function startNode(
  demo: Play,
  host: Host,
  shown: string,
  words: readonly string[],
): Promise<void> {
  const { clock, signal, program } = demo;
  await stepOf(demo, host, `${host.name}: denim ${shown}`, async () => {
    const daemon = await host.startDaemon(program, [...words, "--foreground"]);
    await daemon.ready({ clock, signal, timeoutMs: READY_MS });
    return await waitFor("it has a subnet", { clock, signal, timeoutMs: READY_MS }, async () => {
      return (await host.subnetEnv())?.subnets[0];
    });
  }, (subnet) => `ready, containers get ${subnet}`);
}

/** One token for all that join; in a file, since every process can read command lines. */
async function createToken(demo: Play, first: Host, uses: number): Promise<string> {
  const file = join(first.folder, "token");
  await stepOf(demo, first, `${first.name}: denim token create --uses ${uses}`, async () => {
    const words = ["token", "create", "--uses", String(uses)];
    const { token } = await first.ask(demo.program, words) as { token: string };
    writeFileSync(file, `${token}\n`, { mode: 0o600 });
  });
  return file;
}

/** Waits for the group that holds the log, and for a route from each host to each other. */
async function settle(demo: Play, first: Host): Promise<void> {
  const { clock, signal, lab } = demo;
  const options = { clock, signal, timeoutMs: SETTLE_MS };
  if (demo.hosts >= 3) {
    await stepOf(
      demo,
      first,
      "3 of the hosts keep the state: any one of them may fail",
      () =>
        waitFor("there are three voters", options, async () => {
          const roles = (await nodes(first)).map(({ role }) => role);
          const voters = roles.filter((role) => role === "leader" || role === "voter");
          return voters.length === 3 ? true : undefined;
        }),
    );
  }
  for (const host of lab.hosts) {
    await stepOf(
      demo,
      host,
      `${host.name}: routes to the others`,
      () =>
        waitFor("there is one per other host", options, async () => {
          const routes = await host.ownRoutes();
          return routes.length >= lab.hosts.length - 1 ? routes.length : undefined;
        }),
      String,
    );
  }
}

async function startContainers(demo: Play): Promise<void> {
  for (const host of demo.lab.hosts) {
    const what = `${host.name}: a container behind a bridge`;
    await stepOf(demo, host, what, () => host.startContainer(), ({ address }) => address);
  }
}

type Reaches = Readonly<Record<string, HostReport["reaches"]>>;

async function probe(demo: Play): Promise<Reaches> {
  const { hosts } = demo.lab;
  const addressOf = new Map(hosts.map(({ name, container }) => [name, container!.address]));
  return await stepOf(demo, undefined, "every container calls every other", async () => {
    const found = await Promise.all(hosts.map(async ({ name, container }) => {
      const others = [...addressOf].filter(([other]) => other !== name);
      const targets = others.map(([, address]) => address);
      // The first call has to find the neighbours; the second tells how long the way is.
      await container!.ask(targets, REACH_MS);
      const tripMs = await container!.ask(targets, REACH_MS);
      const reaches = others.map(([other, address]) => [other, tripMs[address] ?? null] as const);
      return [name, Object.fromEntries(reaches)] as const;
    }));
    return Object.fromEntries(found);
  }, (reaches) => {
    const trips = Object.values(reaches).flatMap((row) => Object.values(row));
    return `${trips.filter((tripMs) => tripMs !== null).length} of ${trips.length} answered`;
  });
}

async function askFromOutside(demo: Play): Promise<void> {
  const { api, hosts } = demo;
  const what = `the API, from outside of the namespaces, at 127.0.0.1:${api.port}`;
  await stepOf(demo, demo.lab.hosts[0], what, async () => {
    const { items } = await getJson(api.outside, "/v1/leases") as { items: unknown[] };
    if (items.length === hosts) return items.length;
    throw new DenimError("CHECKS_FAILED", `It knows ${items.length} leases, not ${hosts}`);
  }, (leases) => `${leases} leases`);
}

async function report(
  demo: Play,
  first: Host,
  reaches: Reaches,
): Promise<readonly HostReport[]> {
  const known = new Map((await nodes(first)).map((node) => [node.name, node]));
  return await Promise.all(demo.lab.hosts.map(async (host) => {
    const routes = await host.ownRoutes();
    return {
      name: host.name,
      role: known.get(host.name)?.role ?? "unknown",
      subnet: known.get(host.name)?.subnets[0] ?? "none",
      address: host.address,
      container: host.container!.address,
      routes: routes.map(({ dst, gateway, dev }) => `${dst} via ${gateway ?? "–"} dev ${dev}`),
      reaches: reaches[host.name]!,
    };
  }));
}

interface NodeItem {
  readonly name: string;
  readonly role: string;
  readonly subnets: readonly string[];
}

async function nodes(host: Host): Promise<readonly NodeItem[]> {
  return (await host.get("/v1/nodes") as { items: readonly NodeItem[] }).items;
}
