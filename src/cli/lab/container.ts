import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { assert, DenimError } from "../../base/errors.ts";
import { formatAddress, parseAddress } from "../../ip/address.ts";
import { ipBatch } from "./ip.ts";
import type { Loss, ProbeAnswer, ProbeRequest } from "./probe.ts";
import { plainEnvironment, type Program } from "./self.ts";
import { sendSignal } from "./signal.ts";

/** The bridge inside a host that its containers hang on. */
export const CONTAINER_BRIDGE = "cni0";

/** What a container runtime reads in subnet.env. */
export interface SubnetEnv {
  /** The bridge's address with its length: `10.244.3.1/24`. */
  readonly subnet: string;
  readonly mtu: number;
}

/** The text of subnet.env; `undefined` when a line is missing. */
export function readSubnetEnv(text: string): SubnetEnv | undefined {
  const lines = new Map(
    text.split("\n").map((line) => line.split("=", 2) as [string, string | undefined]),
  );
  const subnet = lines.get("FLANNEL_SUBNET");
  const mtu = Number(lines.get("FLANNEL_MTU"));
  return subnet === undefined || !(mtu > 0) ? undefined : { subnet, mtu };
}

export interface ContainerOptions {
  readonly hostNamespace: string;
  readonly namespace: string;
  readonly env: SubnetEnv;
  /** Denim, whose hidden command `probe` is the container's only program. */
  readonly program: Program;
}

/**
 * What a container runtime would make: a namespace behind a bridge of the host, with the second
 * address of the host's subnet and a default route through the first.
 */
export class Container {
  readonly address: string;
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  private constructor(address: string, child: ChildProcess) {
    this.address = address;
    this.#child = child;
    this.#answers = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    // A lab that ends takes the program with it; what was still to be said is of no interest.
    child.stdin!.on("error", () => {});
  }

  static async start(options: ContainerOptions): Promise<Container> {
    const { namespace, program } = options;
    const address = await connect(options);
    const child = spawn("ip", ["netns", "exec", namespace, ...program, "probe"], {
      stdio: ["pipe", "pipe", "ignore"],
      detached: true,
      env: plainEnvironment(),
    });
    child.once("error", () => {});
    const container = new Container(address, child);
    await container.#expect("ready");
    return container;
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
async function connect({ hostNamespace, namespace, env }: ContainerOptions): Promise<string> {
  const [gateway, length] = env.subnet.split("/") as [string, string];
  const { family, value } = parseAddress(gateway);
  const address = formatAddress({ family, value: value + 1n });
  await ipBatch([
    `link add name c0 mtu ${env.mtu} type veth` +
    ` peer name eth0 mtu ${env.mtu} netns ${namespace}`,
    `link add name ${CONTAINER_BRIDGE} type bridge`,
    `link set c0 master ${CONTAINER_BRIDGE} up`,
    `link set ${CONTAINER_BRIDGE} mtu ${env.mtu} up`,
    `addr add ${env.subnet} dev ${CONTAINER_BRIDGE}`,
  ], hostNamespace);
  await ipBatch([
    "link set lo up",
    `addr add ${address}/${length} dev eth0`,
    "link set eth0 up",
    `route add default via ${gateway}`,
  ], namespace);
  return address;
}
