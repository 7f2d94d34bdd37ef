import { execFile } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdtemp, open, rm, statfs } from "node:fs/promises";
import { createServer } from "node:net";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { ApiClient } from "../api/client.ts";
import type { LeaseView, NodeView, StatusView } from "../api/service.ts";
import type { Clock } from "../base/clock.ts";
import { asDenimError, isDenimError } from "../base/errors.ts";
import { chooseInterface, type ChosenInterface, type InterfaceWish } from "../host/interfaces.ts";
import { requireNetworkRights } from "../host/rights.ts";
import { readSetting } from "../host/sysctl.ts";
import { type Family, parseAddress } from "../ip/address.ts";
import { type Prefix, tryParsePrefix } from "../ip/prefix.ts";
import { openLibc } from "../kernel/libc.ts";
import { parseNetworkConfig } from "../lease/network.ts";
import type { KernelState } from "../plan/kernel.ts";
import { parseEndpoint } from "../transport/address.ts";
import { connectFailure } from "./connect.ts";
import type { ClockFact, DaemonFact, DiskFact, Facts, InterfaceFact, PortFact } from "./facts.ts";

/** What is to be looked at; all of it is only read. */
export interface Examined {
  readonly kernel: KernelState;
  readonly wish: InterfaceWish;
  /** Of a network that no daemon here knows yet. */
  readonly networks: readonly Prefix[];
  readonly stateDir: string;
  readonly socketPath: string;
  readonly subnetFile: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly apiPort: number | undefined;
  readonly diskLowBytes: number;
  readonly clock: Clock;
}

const SERVERS_MAX = 3;
const CONNECT_MS = 1_500;
const ANSWER_MS = 3_000;
const COMMAND_MS = 3_000;
const SYNCS = 5;
/** `linux/magic.h` */
const MEMORY_FILE_SYSTEMS = [0x01021994, 0x858458f6];
/** Programs that write the same file and the same routes. */
const RIVALS = ["flanneld", "weaver", "calico-node", "cilium-agent"];

/** Looks at this host, and asks the daemon where one runs. Changes nothing. */
export async function gather(examined: Examined): Promise<Facts> {
  const { kernel, wish, subnetFile } = examined;
  const answer = await daemonFact(examined.socketPath);
  const daemon = answer !== undefined && "fact" in answer ? answer : undefined;
  const networks = daemon?.networks ?? examined.networks;
  return {
    ...{ kernel, networks },
    mayProgram: mayProgram(),
    setting: readSetting,
    interface: interfaceFact(kernel, wish, networks, daemon?.fact.status),
    forwardPolicy: await forwardPolicies(),
    shielded: await shieldedAddresses(),
    spoiledDatagrams: spoiledDatagrams(),
    ports: await portFacts(examined, answer !== undefined),
    clock: await clockFact(examined.clock),
    disk: await diskFact(examined),
    rivals: findRivals(),
    subnetEnv: readText(daemon?.fact.status.dataPlane.subnetFile ?? subnetFile),
    ...(daemon === undefined ? {} : { daemon: daemon.fact }),
    ...(answer !== undefined && "hung" in answer ? { hungDaemon: answer.hung } : {}),
  };
}

function mayProgram(): boolean {
  try {
    requireNetworkRights();
    return true;
  } catch (error) {
    if (isDenimError(error, "PERMISSION_DENIED")) return false;
    throw error;
  }
}

/** What the daemon chose counts; without one, what it would choose. */
function interfaceFact(
  kernel: KernelState,
  wish: InterfaceWish,
  networks: readonly Prefix[],
  status: StatusView | undefined,
): InterfaceFact {
  // Before a network is known either family will do.
  const choices: readonly (readonly Family[])[] = networks.length === 0
    ? [[4], [6]]
    : [networks.map(({ family }) => family)];
  try {
    const { link: used = null, linkWhy, publicIp = null, publicIpv6 = null } = status?.dataPlane ??
      {};
    const told = [publicIp, publicIpv6].filter((ip) => ip !== null).map(parseAddress);
    const asked = used === null ? wish : { iface: used, publicIps: told };
    const { link: { name, mtu }, addresses, why } = chooseAny(kernel, asked, choices);
    return { found: true, link: name, mtu, addresses, why: `chosen ${linkWhy ?? why}` };
  } catch (error) {
    const { message, why, fix } = asDenimError(error);
    return {
      ...{ found: false, message },
      ...(why === undefined ? {} : { why }),
      ...(fix === undefined ? {} : { fix }),
    };
  }
}

/** By the first choice of families that finds one. @throws `INTERFACE_NOT_FOUND`, of the first */
function chooseAny(
  kernel: KernelState,
  wish: InterfaceWish,
  [families, ...more]: readonly (readonly Family[])[],
): ChosenInterface {
  try {
    return chooseInterface(kernel, wish, { families: families! });
  } catch (error) {
    for (const families of more) {
      try {
        return chooseInterface(kernel, wish, { families });
      } catch {
        // What is missing for the first says more.
      }
    }
    throw error;
  }
}

async function daemonFact(
  socketPath: string,
): Promise<
  { fact: DaemonFact; networks: readonly Prefix[] } | { hung: string } | { idle: true } | undefined
> {
  const client = new ApiClient(socketPath);
  const timeoutMs = ANSWER_MS;
  try {
    const status = await client.call("/v1/self", { timeoutMs }) as StatusView;
    if (status.cluster === null) return { idle: true };
    const [nodes, leases, network] = await Promise.all(
      ["/v1/nodes", "/v1/leases", "/v1/network"].map((path) => client.call(path, { timeoutMs })),
    ) as [{ items: NodeView[] }, { items: LeaseView[] }, { text: string }];
    const others = nodes.items.filter(({ self, eligible }) => !self && eligible === "server");
    return {
      networks: networksOf(network.text),
      fact: {
        ...{ status, nodes: nodes.items, leases: leases.items },
        ...await knock(others.slice(0, SERVERS_MAX)),
      },
    };
  } catch (error) {
    if (isDenimError(error, "DAEMON_UNREACHABLE")) return undefined;
    const { message, why } = asDenimError(error);
    return { hung: why === undefined ? message : `${message}: ${why}` };
  }
}

/** @throws `CONFIG_INVALID` */
export function networksOf(config: string): readonly Prefix[] {
  return parseNetworkConfig(config, { unknownKeys: "keep" }).pools.map(({ network }) => network);
}

/** Whether the control ports of these nodes can be reached from here. */
async function knock(
  nodes: readonly NodeView[],
): Promise<Pick<DaemonFact, "reachable" | "unreachable">> {
  const answers = await Promise.all(nodes.map(async ({ name, address }) => {
    const failure = await connectFailure(parseEndpoint(address), CONNECT_MS);
    return failure === undefined ? [] : [{ name, why: failure.message }];
  }));
  const unreachable = answers.flat();
  return { unreachable, reachable: nodes.length - unreachable.length };
}

async function portFacts(
  { listen, apiPort }: Examined,
  daemonRuns: boolean,
): Promise<PortFact[]> {
  const wanted = [
    { what: "other nodes connect to it", ...listen },
    ...(apiPort === undefined ? [] : [{ what: "the local API", host: "127.0.0.1", port: apiPort }]),
  ];
  return await Promise.all(wanted.map(async ({ what, host, port }) => {
    const error = daemonRuns ? undefined : await listenError(host, port);
    return { what, port, ...(error === undefined ? {} : { error }) };
  }));
}

function listenError(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", ({ message }) => resolve(message));
    server.listen({ host, port }, () => server.close(() => resolve(undefined)));
  });
}

/** Absent where there is no such program, or no such family. */
async function forwardPolicies(): Promise<Partial<Record<Family, string>>> {
  const [v4, v6] = await Promise.all(["iptables", "ip6tables"].map(async (program) => {
    const rules = await output(program, ["-w", "1", "-S", "FORWARD"]);
    return /^-P FORWARD (\w+)$/m.exec(rules ?? "")?.[1];
  }));
  return { ...(v4 === undefined ? {} : { 4: v4 }), ...(v6 === undefined ? {} : { 6: v6 }) };
}

/** `-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP`, as Docker has it since 28 (moby#49325). */
async function shieldedAddresses(): Promise<readonly Prefix[]> {
  const texts = await Promise.all(["ip", "ip6"].flatMap((family) => {
    const programs = [`${family}tables-nft`, ...(hasRaw(family) ? [`${family}tables-legacy`] : [])];
    return programs.map((program) => output(program, ["-w", "1", "-t", "raw", "-S"]));
  }));
  return texts.flatMap((text) =>
    [...(text ?? "").matchAll(/^-A PREROUTING -d (\S+) ! -i \S+ (?:.* )?-j DROP$/gm)]
      .map(([, target]) => tryParsePrefix(target!)).filter((target) => target !== undefined)
  );
}

/** The older iptables makes a table that it is asked for. */
function hasRaw(family: string): boolean {
  return /^raw$/m.test(readText(`/proc/self/net/${family}_tables_names`) ?? "");
}

/** `InCsumErrors` of UDP, of both families (`net/ipv4/proc.c`, `net/ipv6/proc.c`). */
function spoiledDatagrams(): number {
  const [names = "", values = ""] = readText("/proc/self/net/snmp")?.match(/^Udp: .*$/gm) ?? [];
  const at = names.split(" ").indexOf("InCsumErrors");
  const four = Number(values.split(" ")[at] ?? 0);
  const six = /^Udp6InCsumErrors\s+(\d+)$/m.exec(readText("/proc/self/net/snmp6") ?? "")?.[1];
  return four + Number(six ?? 0);
}

function output(program: string, parameters: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) =>
    execFile(
      program,
      parameters,
      { timeout: COMMAND_MS },
      (error, out) => resolve(error === null ? out : undefined),
    )
  );
}

async function clockFact(clock: Clock): Promise<ClockFact> {
  const synchronized = (await openLibc()).clockIsKept();
  return { wallMs: clock.wallMs(), ...(synchronized === undefined ? {} : { synchronized }) };
}

async function diskFact({ stateDir, diskLowBytes, clock }: Examined): Promise<DiskFact> {
  const folder = await nearest(stateDir);
  const { type, bavail, bsize } = await statfs(folder);
  const syncMs = await syncTime(folder, clock);
  return {
    ...{ folder, freeBytes: bavail * bsize, lowBytes: diskLowBytes },
    isMemory: MEMORY_FILE_SYSTEMS.includes(type),
    ...(syncMs === undefined ? {} : { syncMs }),
  };
}

/** The folder, or what there is of the way to it. */
async function nearest(folder: string): Promise<string> {
  try {
    await statfs(folder);
    return folder;
  } catch {
    return await nearest(dirname(folder));
  }
}

/** In a folder of its own, which goes again. */
async function syncTime(folder: string, clock: Clock): Promise<number | undefined> {
  let own: string | undefined;
  try {
    own = await mkdtemp(join(folder, ".denim-doctor-"));
    const file = await open(join(own, "sync"), "wx", 0o600);
    const timesMs: number[] = [];
    for (let i = 0; i < SYNCS; i++) {
      const startedMs = clock.monotonicMs();
      await file.write(new Uint8Array(4096));
      await file.datasync();
      timesMs.push(clock.monotonicMs() - startedMs);
    }
    await file.close();
    return timesMs.sort((a, b) => a - b)[Math.floor(SYNCS / 2)];
  } catch {
    return undefined;
  } finally {
    if (own !== undefined) await rm(own, { recursive: true, force: true });
  }
}

/** In this network namespace: another one's programs do not concern this host. */
function findRivals(): string[] {
  const own = linkOf("/proc/self/ns/net");
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    const name = readText(`/proc/${pid}/comm`)?.trim() ?? "";
    if (!RIVALS.includes(name) || Number(pid) === process.pid) return [];
    return linkOf(`/proc/${pid}/ns/net`) === own ? [`${name} (process ${pid})`] : [];
  });
}

function linkOf(path: string): string | undefined {
  try {
    return basename(readlinkSync(path));
  } catch {
    return undefined;
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
