import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { assert, DenimError, isDenimError } from "../../base/errors.ts";
import { formatAddress, parseAddress } from "../../ip/address.ts";
import { parseSubnetEnv } from "../../lease/subnet-env.ts";
import { ipBatch } from "./ip.ts";
import type { Loss, ProbeAnswer, ProbeRequest } from "./probe.ts";
import { plainEnvironment, type Program } from "./self.ts";
import { sendSignal } from "./signal.ts";

/** The bridge inside a host that its containers hang on. */
export const CONTAINER_BRIDGE = "cni0";

/** What a container runtime reads in subnet.env. */
export interface SubnetEnv {
  /** The bridge's addresses with their lengths, IPv4 first: `10.244.3.1/24`. */
  readonly subnets: readonly [string, ...string[]];
  readonly mtu: number;
}

/** The text of subnet.env; `undefined` when a line is missing. */
export function readSubnetEnv(text: string): SubnetEnv | undefined {
  try {
    const { gateway, gatewayV6, mtu } = parseSubnetEnv(text);
    const [first, ...more] = [gateway, gatewayV6].filter((subnet) => subnet !== undefined);
    return mtu === undefined ? undefined : { subnets: [first!, ...more], mtu };
  } catch (error) {
    if (isDenimError(error, "CONFIG_INVALID")) return undefined;
    throw error;
  }
}

export interface ContainerOptions {
  readonly hostNamespace: string;
  readonly namespace: string;
  readonly env: SubnetEnv;
  /** Denim, whose hidden command `probe` is the container's only program. */
  readonly program: Program;
  /** The bridge inside the host that it hangs on; {@link CONTAINER_BRIDGE} if nothing is said. */
  readonly bridge?: string;
}

/**
 * What a container runtime would make: a namespace behind a bridge of the host, with the second
 * address of each of the host's subnets and a default route through the first.
 */
export class Container {
  /** One per family, IPv4 first. */
  readonly addresses: readonly string[];
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  private constructor(addresses: readonly string[], child: ChildProcess) {
    this.addresses = addresses;
    this.#child = child;
    this.#answers = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    // A lab that ends takes the program with it; what was still to be said is of no interest.
    child.stdin!.on("error", () => {});
  }

  static async start(options: ContainerOptions): Promise<Container> {
    const { namespace, program } = options;
    const addresses = await connect(options);
    const child = spawn("ip", ["netns", "exec", namespace, ...program, "probe"], {
      stdio: ["pipe", "pipe", "ignore"],
      detached: true,
      env: plainEnvironment(),
    });
    child.once("error", () => {});
    const container = new Container(addresses, child);
    await container.#expect("ready");
    return container;
  }

  /** The first one. */
  get address(): string {
    return this.addresses[0]!;
  }

  /** Milliseconds to each address and back; `null` for what did not answer in time. */
  async ask(
    to: readonly string[],
    timeoutMs: number,
  ): Promise<Readonly<Record<string, number | null>>> {
    this.#tell({ kind: "ask", to, timeoutMs });
    return (await this.#expect("asked")).tripMs;
  }

  /** Starts to send to each address, every `periodMs`, until {@link endWatch}. */
  async watch(to: readonly string[], periodMs: number): Promise<void> {
    this.#tell({ kind: "watch", to, periodMs });
    await this.#expect("ready");
  }

  /** What became of everything that was sent since {@link watch}. */
  async endWatch(): Promise<readonly Loss[]> {
    this.#tell({ kind: "report" });
    return (await this.#expect("watched")).losses;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    sendSignal(this.#child.pid!, "SIGKILL");
    await ended;
  }

  #tell(request: ProbeRequest): void {
    this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
  }

  async #expect<Kind extends ProbeAnswer["kind"]>(
    kind: Kind,
  ): Promise<Extract<ProbeAnswer, { kind: Kind }>> {
    const { value, done } = await this.#answers.next();
    if (done) throw new DenimError("CHECKS_FAILED", `The container ${this.address} has ended`);
    const answer = JSON.parse(value) as ProbeAnswer;
    assert(answer.kind === kind, `a probe answers in order: ${answer.kind}, not ${kind}`);
    return answer as Extract<ProbeAnswer, { kind: Kind }>;
  }
}

/** Lays the cable and gives addresses; returns the container's. */
async function connect(options: ContainerOptions): Promise<string[]> {
  const { hostNamespace, namespace, env, bridge = CONTAINER_BRIDGE } = options;
  const port = `${bridge}p`;
  const ends = env.subnets.map((subnet) => {
    const [gateway, length] = subnet.split("/") as [string, string];
    const { family, value } = parseAddress(gateway);
    return { gateway, length, family, address: formatAddress({ family, value: value + 1n }) };
  });
  // Duplicate detection would keep an IPv6 address from being used for seconds.
  const add = (address: string, length: string, device: string) =>
    `addr add ${address}/${length} dev ${device}${address.includes(":") ? " nodad" : ""}`;
  await ipBatch([
    `link add name ${port} mtu ${env.mtu} type veth` +
    ` peer name eth0 mtu ${env.mtu} netns ${namespace}`,
    `link add name ${bridge} type bridge`,
    `link set ${port} master ${bridge} up`,
    `link set ${bridge} mtu ${env.mtu} up`,
    ...ends.map(({ gateway, length }) => add(gateway, length, bridge)),
  ], hostNamespace);
  await ipBatch([
    "link set lo up",
    ...ends.map(({ address, length }) => add(address, length, "eth0")),
    "link set eth0 up",
    ...ends.map(({ gateway, family }) =>
      `route add ${family === 4 ? "default" : "::/0"} via ${gateway}`
    ),
  ], namespace);
  return ends.map(({ address }) => address);
}
