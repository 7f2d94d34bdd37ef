/**
 * A few "hosts" on one machine: network namespaces on one flat link, each with a place for a
 * daemon and a container behind a bridge. Needs iproute2 and nothing else. Links are made inside of
 * the namespaces, so the machine's own are never touched and go when the namespaces go.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Clock } from "../../base/clock.ts";
import { Host } from "./host.ts";
import { ipBatch, runProgram } from "./ip.ts";
import {
  findLeftovers,
  hasNamesFolder,
  isClean,
  type LabNames,
  type Leftovers,
  removeLeftovers,
  removeLeftoversNow,
  removeNamesFolder,
} from "./leftovers.ts";
import type { Program } from "./self.ts";

export interface LabOptions extends LabNames {
  readonly clock: Clock;
  /** Denim, whose hidden command `probe` runs in the containers. */
  readonly prober: Program;
}

/** RFC 5737 keeps it for documentation: no machine has it. */
const LINK_NETWORK = "192.0.2";
/** Nobody has this address either; hosts of real life have a default route. */
const LINK_GATEWAY = `${LINK_NETWORK}.254`;

export class Lab implements AsyncDisposable {
  readonly hosts: Host[] = [];
  readonly #options: LabOptions;
  readonly #onExit: () => void;
  readonly #hadNamesFolder = hasNamesFolder();

  private constructor(options: LabOptions) {
    this.#options = options;
    this.#onExit = () => removeLeftoversNow(options);
    process.once("exit", this.#onExit);
  }

  /** An empty link. Whatever fails from here on, {@link dispose} removes all there is. */
  static async create(options: LabOptions): Promise<Lab> {
    const lab = new Lab(options);
    try {
      mkdirSync(options.folder, { recursive: true, mode: 0o700 });
      await ipBatch([`netns add ${lab.#switch}`]);
      await ipBatch([
        "link set lo up",
        "link add name switch type bridge",
        "link set switch up",
      ], lab.#switch);
      return lab;
    } catch (error) {
      await lab.dispose();
      throw error;
    }
  }

  get #switch(): string {
    return `${this.#options.prefix}switch`;
  }

  /** The next host: 192.0.2.1, 192.0.2.2 and so on, in the order of this call. */
  async addHost(name: string): Promise<Host> {
    const { prefix, folder, prober } = this.#options;
    const host = new Host({
      name,
      namespace: `${prefix}${name}`,
      address: `${LINK_NETWORK}.${this.hosts.length + 1}`,
      folder: join(folder, name),
      prober,
    });
    this.hosts.push(host);
    await this.#plugIn(host);
    return host;
  }

  async #plugIn(host: Host): Promise<void> {
    const { namespace, name, address } = host;
    await ipBatch([`netns add ${namespace}`]);
    await ipBatch([
      `link add name ${name} type veth peer name eth0 netns ${namespace}`,
      `link set dev ${name} master switch up`,
    ], this.#switch);
    await ipBatch([
      "link set lo up",
      `addr add ${address}/24 dev eth0`,
      "link set eth0 up",
      `route add default via ${LINK_GATEWAY}`,
    ], namespace);
    const forwarding = "/proc/sys/net/ipv4/ip_forward";
    const words = ["netns", "exec", namespace, "sh", "-c", `echo 1 > ${forwarding}`];
    await runProgram("ip", words);
  }

  find(name: string): Host {
    const host = this.hosts.find((host) => host.name === name);
    if (host === undefined) throw new Error(`The lab has no host "${name}"`);
    return host;
  }

  /** What there is of this lab on the machine, by looking. */
  leftovers(): Leftovers {
    return findLeftovers(this.#options);
  }

  /** Ends and removes everything; resolves with what there was. */
  async dispose(): Promise<Leftovers> {
    const removed = await removeLeftovers(this.#options, this.#options.clock);
    await Promise.all(this.hosts.flatMap(({ daemon, container }) => [
      daemon?.stop("SIGKILL"),
      container?.stop(),
    ]));
    if (!this.#hadNamesFolder) removeNamesFolder();
    if (isClean(this.leftovers())) process.off("exit", this.#onExit);
    return removed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}
