import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { DenimError } from "../../base/errors.ts";
import type { Family } from "../../ip/address.ts";
import { Container, readSubnetEnv, type SubnetEnv } from "./container.ts";
import { Daemon } from "./daemon.ts";
import { getJson } from "./http.ts";
import { ip, ipBatch, runProgram } from "./ip.ts";
import { plainEnvironment, type Program } from "./self.ts";

export interface HostOptions {
  readonly name: string;
  readonly namespace: string;
  /** On the link that all hosts share: one per family. */
  readonly addresses: readonly [string, ...string[]];
  readonly folder: string;
  /** Runs the container's end of a probe. */
  readonly prober: Program;
}

/** A route as `ip -j route` tells it; only what the lab looks at. */
export interface RouteLine {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev: string;
  /** A number, or its name where `rt_protos` knows one. */
  readonly protocol?: string;
}

/** Route protocol 68 is ours, whether this machine has a name for it or not. */
const OWN_PROTOCOL = /^(68|denim)$/;

/** A "host" of the lab: a network namespace with a link, an address and files of its own. */
export class Host {
  readonly name: string;
  readonly namespace: string;
  readonly addresses: readonly [string, ...string[]];
  readonly folder: string;
  daemon: Daemon | undefined;
  container: Container | undefined;
  readonly #prober: Program;

  constructor({ name, namespace, addresses, folder, prober }: HostOptions) {
    this.name = name;
    this.namespace = namespace;
    this.addresses = addresses;
    this.folder = folder;
    this.#prober = prober;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  /** The first one. */
  get address(): string {
    return this.addresses[0];
  }

  get stateDir(): string {
    return join(this.folder, "state");
  }

  get socketPath(): string {
    return join(this.folder, "denim.sock");
  }

  get readSocketPath(): string {
    return join(this.folder, "read.sock");
  }

  get subnetFile(): string {
    return join(this.folder, "subnet.env");
  }

  /** Backends of this host's own. */
  get backendsDir(): string {
    return join(this.folder, "backends");
  }

  get logFile(): string {
    return join(this.folder, "daemon.log");
  }

  get containerNamespace(): string {
    return `${this.namespace}-container`;
  }

  /** What every daemon of the lab is told about its place. */
  get flags(): readonly string[] {
    return [
      ...["--state-dir", this.stateDir],
      ...["--socket", this.socketPath],
      ...["--read-socket", this.readSocketPath],
      ...["--subnet-file", this.subnetFile],
      ...["--backends-dir", this.backendsDir],
      ...["--name", this.name],
    ];
  }

  /** `parameters` is a daemon's command line, to which {@link flags} are added. */
  async startDaemon(
    program: Program,
    parameters: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<Daemon> {
    this.daemon = await Daemon.start({
      namespace: this.namespace,
      program,
      parameters: [...parameters, ...this.flags],
      logFile: this.logFile,
      socketPath: this.socketPath,
      // Several daemons share one disk here, for a short while.
      env: { DENIM_BALLAST: "0", ...env },
    });
    return this.daemon;
  }

  /** Runs a client of this host's daemon and returns what it printed as JSON. */
  async ask(program: Program, parameters: readonly string[]): Promise<unknown> {
    const words = [...parameters, "--socket", this.socketPath, "--json"];
    const [runtime, ...rest] = program as [string, ...string[]];
    const { status, out, err } = await runProgram(runtime, [...rest, ...words], {
      env: plainEnvironment(),
    });
    if (status === 0) return JSON.parse(out);
    throw new DenimError("CHECKS_FAILED", `denim ${parameters.join(" ")} ended with ${status}`, {
      why: err.trim(),
    });
  }

  async get(path: string): Promise<unknown> {
    return await getJson({ socketPath: this.socketPath }, path);
  }

  /** What container runtimes would read; `undefined` while there is nothing. */
  async subnetEnv(): Promise<SubnetEnv | undefined> {
    return readSubnetEnv(await readFile(this.subnetFile, "utf8").catch(() => ""));
  }

  async startContainer(): Promise<Container> {
    const env = await this.subnetEnv();
    if (env === undefined) {
      throw new DenimError("CHECKS_FAILED", `Host ${this.name} has no subnet for a container`, {
        why: `${this.subnetFile} is missing or not whole`,
      });
    }
    await ipBatch([`netns add ${this.containerNamespace}`]);
    this.container = await Container.start({
      hostNamespace: this.namespace,
      namespace: this.containerNamespace,
      env,
      program: this.#prober,
    });
    return this.container;
  }

  async routes(family: Family = 4): Promise<readonly RouteLine[]> {
    const words = `-n ${this.namespace} -j -${family} route show table main`;
    return JSON.parse(await ip(words) || "[]");
  }

  /** The routes that carry Denim's mark. */
  async ownRoutes(family: Family = 4): Promise<readonly RouteLine[]> {
    return (await this.routes(family))
      .filter(({ protocol }) => OWN_PROTOCOL.test(protocol ?? ""));
  }

  /** Sets a value under `/proc/sys` of its namespace. */
  async set(name: string, value: string): Promise<void> {
    const words = [
      "netns",
      "exec",
      this.namespace,
      "sh",
      "-c",
      `echo ${value} > /proc/sys/${name}`,
    ];
    await runProgram("ip", words);
  }
}
