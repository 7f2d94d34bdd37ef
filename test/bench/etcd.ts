/** Three members of Debian's etcd in the hosts of a lab, and `etcd/load.go`, which asks them. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { Daemon } from "../../src/cli/lab/daemon.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import { runProgram } from "../../src/cli/lab/ip.ts";
import { sendSignal } from "../../src/cli/lab/signal.ts";
import { eventually } from "../support/lab.ts";
import { cannotUnshare } from "../support/namespace.ts";
import { root } from "../support/root.ts";

/** Where Debian's Go libraries are. */
const GOPATH = "/usr/share/gocode";
const [CLIENT_PORT, PEER_PORT] = [2379, 2380];

/** Why there is nobody to be compared with, or false. */
export const cannotCompare: string | false = cannotUnshare !== false
  ? cannotUnshare
  : canRun("etcd", "--version") && canRun("go", "version") && existsSync(`${GOPATH}/src/go.etcd.io`)
  ? false
  : "needs Debian's etcd-server, golang-go and golang-etcd-server-dev";

function canRun(program: string, word: string): boolean {
  return spawnSync(program, [word]).status === 0;
}

/** When something was sent and when it was answered, milliseconds of the wall clock. */
export interface Answered {
  readonly sentMs: number;
  readonly answeredMs: number;
}

/** Writes one after the other, whatever happens, until it is stopped. */
export interface Prober {
  readonly answered: readonly Answered[];
  stop(): void;
}

export class Etcd {
  readonly #hosts: readonly Host[];
  readonly #outside: Host;
  readonly #load: string;
  readonly #members = new Map<Host, Daemon>();

  private constructor(hosts: readonly Host[], outside: Host) {
    this.#hosts = hosts;
    this.#outside = outside;
    this.#load = join(outside.folder, "load");
  }

  /** A member in each host; who asks them is in `outside`. They go with the lab. */
  static async start(hosts: readonly Host[], outside: Host): Promise<Etcd> {
    const etcd = new Etcd(hosts, outside);
    await etcd.#build();
    await Promise.all(hosts.map((host) => etcd.startMember(host)));
    await eventually("etcd has a leader", () => etcd.leader());
    return etcd;
  }

  async startMember(host: Host): Promise<void> {
    const [client, peer] = [urlOf(host, CLIENT_PORT), urlOf(host, PEER_PORT)];
    const members = this.#hosts.map((one) => `${one.name}=${urlOf(one, PEER_PORT)}`);
    const parameters = [
      ...["--name", host.name, "--data-dir", join(host.folder, "etcd")],
      ...["--listen-client-urls", client, "--advertise-client-urls", client],
      ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
      ...["--initial-cluster", members.join(",")],
      ...["--logger", "zap", "--log-level", "error"],
    ];
    const { namespace, folder } = host;
    const files = { logFile: join(folder, "etcd.log"), socketPath: join(folder, "none") };
    const options = { namespace, program: ["etcd"], parameters, ...files };
    this.#members.set(host, await Daemon.start(options));
  }

  async kill(host: Host): Promise<void> {
    await this.#members.get(host)!.stop("SIGKILL");
  }

  async leader(): Promise<Host | undefined> {
    const endpoint = await this.#run(["leader", "-endpoints", this.#endpoints(this.#hosts)]);
    return this.#hosts.find((host) => this.#endpoints([host]) === endpoint);
  }

  /** Answers a second by gRPC, with one connection to each of the hosts. */
  async rate(verb: "put" | "get", load: Load, hosts: readonly Host[]): Promise<number> {
    return Number(await this.#run([verb, "-endpoints", this.#endpoints(hosts), ...flags(load)]));
  }

  /** The same by HTTP with keep-alive, of etcd or of whoever has that address. */
  async httpRate(request: HttpRequest, load: Load): Promise<number> {
    const { url, body, socketPath } = request;
    const socket = socketPath === undefined ? [] : ["-unix", socketPath];
    return Number(await this.#run(["http", "-url", url, "-body", body, ...socket, ...flags(load)]));
  }

  /** A put every ten milliseconds, by turns through each of the hosts. */
  probe(hosts: readonly Host[]): Prober {
    const words = ["probe", "-endpoints", this.#endpoints(hosts)];
    const child: ChildProcess = spawn("ip", this.#inside(words), {
      stdio: ["ignore", "pipe", "ignore"],
      detached: true,
    });
    const answered: Answered[] = [];
    createInterface({ input: child.stdout! }).on("line", (line) => {
      const [sentMs, answeredMs] = line.split(" ").map(Number) as [number, number];
      answered.push({ sentMs, answeredMs });
    });
    return { answered, stop: () => sendSignal(child.pid!, "SIGKILL") };
  }

  async #build(): Promise<void> {
    const source = join(root, "test/bench/etcd/load.go");
    const env = { ...process.env, GO111MODULE: "off", GOPATH };
    const built = await runProgram("go", ["build", "-o", this.#load, source], { env });
    if (built.status !== 0) throw new Error(`go build: ${built.err}`);
  }

  async #run(words: readonly string[]): Promise<string> {
    const { status, out, err } = await runProgram("ip", this.#inside(words));
    if (status !== 0) throw new Error(`load ${words.join(" ")}: ${err}`);
    return out.trim();
  }

  #inside(words: readonly string[]): string[] {
    return ["netns", "exec", this.#outside.namespace, this.#load, ...words];
  }

  #endpoints(hosts: readonly Host[]): string {
    return hosts.map(({ address }) => `${address}:${CLIENT_PORT}`).join(",");
  }
}

export interface Load {
  /** Questions that are out at any moment. */
  readonly inFlight: number;
  readonly durationMs: number;
}

export interface HttpRequest {
  readonly url: string;
  readonly body: string;
  readonly socketPath?: string;
}

/** The same lease by etcd's JSON gateway. */
export function putByHttp(host: Host): HttpRequest {
  const key = btoa("/coreos.com/network/subnets/10.244.3.0-24");
  const value = btoa('{"PublicIP":"192.0.2.3","PublicIPv6":null,"BackendType":"host-gw"}');
  return { url: `${urlOf(host, CLIENT_PORT)}/v3/kv/put`, body: JSON.stringify({ key, value }) };
}

function urlOf({ address }: Host, port: number): string {
  return `http://${address}:${port}`;
}

function flags({ inFlight, durationMs }: Load): string[] {
  return ["-inflight", String(inFlight), "-seconds", String(durationMs / 1_000)];
}
