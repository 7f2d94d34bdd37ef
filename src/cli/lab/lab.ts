/**
 * A few "hosts" on one machine: network namespaces on one flat link, each with a place for a
 * daemon and a container behind a bridge. Needs iproute2 and nothing else. Links are made inside of
 * the namespaces, so the machine's own are never touched and go when the namespaces go.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Clock } from "../../base/clock.ts";
import type { Family } from "../../ip/address.ts";
import { Host } from "./host.ts";
import { ipBatch } from "./ip.ts";
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

/** RFC 5737 and RFC 3849 keep them for documentation: no machine has them. */
const LINK_NETWORK = "192.0.2";
const LINK_NETWORK_6 = "2001:db8:";
/** Nobody has these addresses either; hosts of real life have a default route. */
const LINK_GATEWAY = `${LINK_NETWORK}.254`;
const LINK_GATEWAY_6 = `${LINK_NETWORK_6}:fe`;

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

  /** The next host: 192.0.2.1, 192.0.2.2 and so on, in the order of this call; or 2001:db8::1. */
  async addHost(name: string, families: readonly Family[] = [4]): Promise<Host> {
    const number = this.hosts.length + 1;
    const [address, ...more] = families.map((family) =>
      family === 4 ? `${LINK_NETWORK}.${number}` : `${LINK_NETWORK_6}:${number.toString(16)}`
    );
    const host = await this.addBareHost(name, [address!, ...more]);
    await this.plugIn(host);
    return host;
  }

  /** The next host without a link; `addresses` are those that peers are to send to. */
  async addBareHost(name: string, addresses: readonly [string, ...string[]]): Promise<Host> {
    const { prefix, folder, prober } = this.#options;
    const place = { namespace: `${prefix}${name}`, folder: join(folder, name) };
    const host = new Host({ name, ...place, prober, addresses });
    this.hosts.push(host);
    await ipBatch([`netns add ${host.namespace}`]);
    await host.set("net/ipv4/ip_forward", "1");
    await ipBatch(["link set lo up"], host.namespace);
    return host;
  }

  /** Another link that hosts can be laid to, apart from the first. */
  async addSwitch(name: string): Promise<void> {
    await ipBatch([`link add name ${name} type bridge`, `link set ${name} up`], this.#switch);
  }

  /** Lays the cable of a host, and does so anew after somebody has deleted its link. */
  async plugIn(host: Host): Promise<void> {
    const { namespace } = host;
    await this.lay(host, "eth0");
    for (const address of host.addresses) {
      // Some machines hand down that new links have no IPv6.
      if (address.includes(":")) await host.set("net/ipv6/conf/eth0/disable_ipv6", "0");
    }
    await ipBatch(["link set eth0 up", ...host.addresses.map(addressLine)], namespace);
    await ipBatch(host.addresses.map(defaultLine), namespace);
  }

  /** A link between a host and a switch, without addresses. */
  async lay(host: Host, device: string, to = "switch"): Promise<void> {
    const end = device === "eth0" ? host.name : `${host.name}-${device}`;
    await ipBatch([
      `link add name ${end} type veth peer name ${device} netns ${host.namespace}`,
      `link set dev ${end} master ${to} up`,
    ], this.#switch);
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

/** Duplicate detection would keep an IPv6 address from being used for seconds. */
function addressLine(address: string): string {
  const isSix = address.includes(":");
  return `addr add ${address}/${isSix ? "64" : "24"} dev eth0${isSix ? " nodad" : ""}`;
}

function defaultLine(address: string): string {
  return address.includes(":")
    ? `route add ::/0 via ${LINK_GATEWAY_6}`
    : `route add default via ${LINK_GATEWAY}`;
}
