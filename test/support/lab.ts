import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import { build } from "../../compile/build.ts";
import { findTarget, HOST_TARGET, missingFiles } from "../../compile/targets.ts";
import { systemClock } from "../../src/base/clock.ts";
import type { Host, RouteLine } from "../../src/cli/lab/host.ts";
import { runProgram } from "../../src/cli/lab/ip.ts";
import { formatPrefix, parsePrefix } from "../../src/ip/prefix.ts";
import { Lab } from "../../src/cli/lab/lab.ts";
import type { Program } from "../../src/cli/lab/self.ts";
import { waitFor } from "../../src/cli/lab/wait.ts";
import { root } from "./root.ts";
import type { Test } from "./tap.ts";

/** Why a test cannot have hosts, or false: what `skip` wants. */
export const cannotLab: string | false = process.getuid?.() === 0
  ? false
  : "needs root for network namespaces";

const clock = systemClock();

/** What takes two seconds where nothing else runs may take this on a machine that is busy. */
const PATIENCE_MS = 90_000;
const main = join(root, "src/main.ts");
const node = join(root, `node_modules/node-${HOST_TARGET}/bin/node`);

/** Denim from source under Node, whatever runs the test. */
export const onNode: Program = [existsSync(node) ? node : process.execPath, main];

/** Denim from source under Deno. */
export const onDeno: Program = [
  join(root, "node_modules/@deno/linux-x64-glibc/deno"),
  ...["run", "-A", "--no-check", main],
];

/** The single binary, built where it is missing or older than the source. */
export async function singleBinary(): Promise<Program> {
  const target = findTarget(HOST_TARGET)!;
  return missingFiles(target).length > 0 ? onNode : [await build(target, () => {})];
}

const IMPATIENT = ["SIGTERM", "SIGALRM"] as const;

/** A link for hosts, until the test's end. */
export async function makeLab(t: Test): Promise<Lab> {
  const folder = mkdtempSync(join(tmpdir(), `denim-test-${process.pid}-`));
  const prefix = `${basename(folder)}-`;
  // A runner that has lost its patience sends one of these, tap within a process the second; a lab
  // cleans up when its process exits.
  const exit = () => process.exit(143);
  for (const signal of IMPATIENT) process.once(signal, exit);
  const lab = await Lab.create({ prefix, folder, clock, prober: onNode });
  t.teardown(async () => {
    await lab.dispose();
    for (const signal of IMPATIENT) process.off(signal, exit);
  });
  return lab;
}

export const NETWORK = "10.244.0.0/16";

/** Forms a cluster and resolves when its only node is ready. */
export async function found(host: Host, program: Program, network = NETWORK): Promise<void> {
  const daemon = await host.startDaemon(program, ["init", "--network", network, "--foreground"]);
  await daemon.ready({ clock, timeoutMs: PATIENCE_MS });
}

/** A token that lets in as many as are wanted. */
export async function makeToken(host: Host, uses = 50, more: string[] = []): Promise<string> {
  const words = ["token", "create", "--uses", String(uses), ...more];
  return (await host.ask(onNode, words) as { token: string }).token;
}

/** Joins by way of another host and resolves when the node is ready. */
export async function joinBy(
  host: Host,
  program: Program,
  server: Host,
  token: string,
  timeoutMs = PATIENCE_MS,
): Promise<void> {
  const words = ["join", server.address, "--foreground"];
  const daemon = await host.startDaemon(program, words, { DENIM_TOKEN: token });
  await daemon.ready({ clock, timeoutMs });
}

/** Starts what the installed unit starts. */
export async function restart(host: Host, program: Program): Promise<void> {
  await host.startDaemon(program, ["run"]);
}

export async function untilReady(hosts: readonly Host[], timeoutMs = PATIENCE_MS): Promise<void> {
  await Promise.all(hosts.map((host) => host.daemon!.ready({ clock, timeoutMs })));
}

/** Waits for what `ask` answers; gives up after a generous time. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  timeoutMs = PATIENCE_MS,
): Promise<T> {
  return await waitFor(what, { clock, timeoutMs }, ask);
}

/** `10.244.2.0/24 via 192.0.2.2 dev eth0`: what Denim has programmed on a host, in order. */
export async function ownRoutes(host: Host): Promise<string[]> {
  const text = ({ dst, gateway, dev }: RouteLine) => `${dst} via ${gateway} dev ${dev}`;
  const families = host.addresses.map((address) => address.includes(":") ? 6 : 4);
  return (await Promise.all(families.map((family) => host.ownRoutes(family))))
    .flat().map(text).sort();
}

/** What a host should have: a route to each subnet of each other one. */
export async function wantedRoutes(host: Host, all: readonly Host[]): Promise<string[]> {
  const others = all.filter((other) => other !== host);
  const lines = others.map(async (other) =>
    (await subnetsOf(other)).map((subnet, i) => `${subnet} via ${other.addresses[i]} dev eth0`)
  );
  return (await Promise.all(lines)).flat().sort();
}

/** `10.244.3.0/24`, from the file that container runtimes read: one per family. */
export async function subnetsOf(host: Host): Promise<string[]> {
  const env = await host.subnetEnv();
  if (env === undefined) throw new Error(`host ${host.name} has no subnet.env`);
  return env.subnets.map((subnet) => formatPrefix(parsePrefix(subnet)));
}

/** The first of {@link subnetsOf}. */
export async function subnetOf(host: Host): Promise<string> {
  return (await subnetsOf(host))[0]!;
}

/** Waits until every host has its routes. */
export async function untilRouted(hosts: readonly Host[]): Promise<void> {
  for (const host of hosts) {
    const wanted = String(await wantedRoutes(host, hosts));
    await eventually(`routes on ${host.name}: ${wanted}`, async () => {
      return String(await ownRoutes(host)) === wanted ? true : undefined;
    });
  }
}

/** Who does not reach whom: empty when everybody reaches everybody. */
export async function unreached(hosts: readonly Host[]): Promise<string[]> {
  const rows = await Promise.all(hosts.map(async ({ name, container }) => {
    const others = hosts.filter((other) => other.name !== name);
    const trips = await container!.ask(others.flatMap((o) => o.container!.addresses), 3_000);
    return others.flatMap((other) =>
      other.container!.addresses.filter((address) => trips[address] === null)
        .map((address) => `${name} to ${other.name} at ${address}`)
    );
  }));
  return rows.flat();
}

/** Every container sends to every other until the result is called: what was lost on the way. */
export async function watchAll(hosts: readonly Host[]): Promise<() => Promise<string[]>> {
  const addresses = hosts.map(({ container }) => container!.address);
  await Promise.all(
    hosts.map(({ container }) =>
      container!.watch(addresses.filter((address) => address !== container!.address), 50)
    ),
  );
  return async () => {
    const rows = await Promise.all(
      hosts.map(async ({ name, container }) =>
        (await container!.endWatch()).filter(({ sent, lost }) => lost > 0 || sent === 0)
          .map(({ to, sent, lost, gapMs }) => `${name} to ${to}: ${lost} of ${sent}, ${gapMs} ms`)
      ),
    );
    return rows.flat();
  };
}

export interface Said {
  readonly status: number | null;
  readonly err: string;
  readonly out: string;
}

/**
 * Runs a command line inside a host, with the host's own flags for its files, to its end or for
 * {@link PATIENCE_MS}: what should have refused and has not then fails by its status.
 */
export async function runInside(
  host: Host,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
  program = onNode,
): Promise<Said> {
  return await says(host, [...program, ...words, ...host.flags], env);
}

/** What a client of the host's daemon prints, to whoever types it there. */
export async function typed(
  host: Host,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Said> {
  return await says(host, [...onNode, ...words, "--socket", host.socketPath], env);
}

/** A command that works on the files of a host whose daemon is down. */
export async function offline(
  host: Host,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Said> {
  return await says(host, [...onNode, ...words, "--state-dir", host.stateDir], env);
}

async function says(
  host: Host,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Said> {
  const options = { env: { ...process.env, ...env }, timeoutMs: PATIENCE_MS };
  return await runProgram("ip", ["netns", "exec", host.namespace, ...words], options);
}
