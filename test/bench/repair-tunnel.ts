/**
 * The same for what a tunnel is made of, as `repair.ts` does it for a route: from the start of the
 * command that takes something away until all of it is back, by a daemon and by a script.
 */
import { spawn } from "node:child_process";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";
import { sendSignal } from "../../src/cli/lab/signal.ts";
import { KIND } from "../../src/transport/protocol.ts";
import { onNode, subnetOf } from "../support/lab.ts";
import { enterNamed, ip, runIn } from "../support/namespace.ts";
import { formCluster, untilInPlace } from "../support/tunnels.ts";
import { BenchAgent } from "./agent.ts";
import { type BenchRow, benchRow, median } from "./result.ts";

const GOAL_MS = 200;
const PUBLISHED = "another MAC address published by a peer";
const EVENTS = [
  ...["deleted link", "deleted forwarding entry", "another MAC address in a neighbour"],
  ...[PUBLISHED, "underlay made anew"],
] as const;
type Event = (typeof EVENTS)[number];

const PATIENCE_MS = 10_000;
const NETWORK = { Network: "10.245.0.0/16", Backend: { Type: "vxlan", VNI: 9 } };
const OTHER_MAC = "02:00:00:00:00:99";
/** Of a peer without a host, which can publish whatever it is told to. */
const AGENT = 100;

export interface Rounds {
  readonly count: number;
  readonly pauseMs: number;
}

/** Three hosts of this lab: two in a network by a tunnel, and one where a script does the same. */
export async function measureTunnel(lab: Lab, rounds: Rounds): Promise<BenchRow[]> {
  const [a, b, c] = [await lab.addHost("x"), await lab.addHost("y"), await lab.addHost("z")];
  await formCluster([[a, onNode], [b, onNode]], NETWORK);
  await untilInPlace([a, b], 1);
  const device = "denim.9";
  const toA = await subnetOf(a);
  const mac = inside(a, () => /link\/ether (\S+)/.exec(ip(`link show ${device}`))![1]!);
  const ours = new End(lab, b, { device, route: toA, mac, remote: a.address });
  const parts = { route: "198.51.100.0/24", mac, remote: a.address };
  const byHand = new End(lab, c, { device: "vx9", ...parts });
  using _script = byHand.script();
  using published = await publisher(a, c);
  const { subnet: route, publicIp: remote } = published.agent;
  const oursTold = new End(lab, b, { device, route, mac: macOf(0), remote }, published.tell);
  const heard = { device: "vx9", route: "203.0.113.0/24", mac: macOf(0), remote };
  using script = hearing(c, heard);
  const byHandTold = new End(lab, c, heard, script.tell);
  await untilInPlace([a, b], 2);
  const rows: BenchRow[] = [];
  for (const event of EVENTS) {
    const [one, other] = event === PUBLISHED ? [oursTold, byHandTold] : [ours, byHand];
    const took: Record<"denim" | "peer", number[]> = { denim: [], peer: [] };
    for (let round = 0; round < rounds.count; round++) {
      took.denim.push(await one.lasted(event, rounds.pauseMs));
      took.peer.push(await other.lasted(event, rounds.pauseMs));
    }
    const measured = { denim: median(took.denim), peer: median(took.peer), unit: "ms" as const };
    const name = `tunnel: ${event}, median, against a script (goal: ${GOAL_MS} ms)`;
    rows.push(benchRow(name, measured, GOAL_MS / measured.peer));
  }
  return rows;
}

/** What is on one end of a tunnel towards one peer. */
interface Parts {
  readonly device: string;
  readonly route: string;
  readonly mac: string;
  readonly remote: string;
}

/** Resolves when whoever looks after an end has been sent a peer's new MAC address. */
type Tell = (mac: string) => Promise<unknown>;

function macOf(n: number): string {
  return `02:00:00:00:01:${n.toString(16).padStart(2, "0")}`;
}

function nextOf({ route }: Parts): string {
  return route.split("/")[0]!;
}

/** A peer of `server`'s network, connected from `outside`, that writes into its own lease. */
async function publisher(
  server: Host,
  outside: Host,
): Promise<Disposable & { readonly agent: BenchAgent; readonly tell: Tell }> {
  const toldOf = (mac: string) => ({
    ...{ backendType: "vxlan", backendData: JSON.stringify({ VNI: 9, VtepMAC: mac }) },
  });
  const leave = enterNamed(outside.namespace);
  try {
    const agent = await BenchAgent.join(server, AGENT, toldOf(macOf(0)));
    const channel = await agent.connect(server);
    const tell = (mac: string) =>
      channel.request(KIND.propose, { command: agent.publication(toldOf(mac)) });
    return { agent, tell, [Symbol.dispose]: () => channel.close() };
  } finally {
    leave();
  }
}

/** The least that could be scripted: a loop that is told MAC addresses, one on a line. */
function hearing(host: Host, parts: Parts): Disposable & { readonly tell: Tell } {
  const { device, route, remote } = parts;
  const next = nextOf(parts);
  const loop = "while read -r mac; do " + [
    `ip neigh replace ${next} lladdr $mac dev ${device} nud permanent`,
    `bridge fdb replace $mac dev ${device} dst ${remote} self permanent`,
    `ip route replace ${route} via ${next} dev ${device} onlink`,
  ].join("; ") + "; done";
  const words = ["netns", "exec", host.namespace, "sh", "-c", loop];
  const child = spawn("ip", words, { stdio: ["pipe", "ignore", "ignore"], detached: true });
  return {
    tell: (mac) => new Promise<unknown>((resolve) => child.stdin.write(`${mac}\n`, resolve)),
    [Symbol.dispose]: () => sendSignal(-child.pid!, "SIGKILL"),
  };
}

/** One end, that somebody looks after. */
class End {
  readonly #lab: Lab;
  readonly #host: Host;
  readonly #tell: Tell | undefined;
  #parts: Parts;
  #told = 0;

  constructor(lab: Lab, host: Host, parts: Parts, tell?: Tell) {
    this.#lab = lab;
    this.#host = host;
    this.#parts = parts;
    this.#tell = tell;
  }

  /** Until it is disposed of, a loop makes what is missing whenever anything happens. */
  script(): Disposable {
    const { device, route, mac, remote } = this.#parts;
    const next = nextOf(this.#parts);
    const add = [
      `ip link add ${device} type vxlan id 8 dstport 8472 local ${this.#host.address} dev eth0 ` +
      "nolearning",
      `ip link set ${device} up`,
      `ip neigh show dev ${device} | grep -q ${mac} || ` +
      `ip neigh replace ${next} lladdr ${mac} dev ${device} nud permanent`,
      `bridge fdb show dev ${device} | grep -q ${mac} || ` +
      `bridge fdb replace ${mac} dev ${device} dst ${remote} self permanent`,
      `ip route add ${route} via ${next} dev ${device} onlink`,
    ].join("; ");
    const loop = `repair() { ${add}; }; repair; ` +
      "{ ip monitor link address route neigh & bridge monitor fdb; } | " +
      "while read -r _; do repair; done";
    const words = ["netns", "exec", this.#host.namespace, "sh", "-c", loop];
    const child = spawn("ip", words, { stdio: "ignore", detached: true });
    return { [Symbol.dispose]: () => sendSignal(-child.pid!, "SIGKILL") };
  }

  /** Milliseconds from the start of the event until all is as it was; then things settle. */
  async lasted(event: Event, pauseMs: number): Promise<number> {
    if (event !== PUBLISHED) await this.#until(() => this.#isWhole());
    if (event === "underlay made anew") {
      inside(this.#host, () => ip("link del eth0"));
      await this.#until(() => !ip("link show").includes(`${this.#parts.device}:`));
      await pause(pauseMs);
    }
    const startMs = performance.now();
    await this.#happens(event);
    await this.#until(() => this.#isWhole());
    const tookMs = performance.now() - startMs;
    await pause(pauseMs);
    return tookMs;
  }

  async #happens(event: Event): Promise<void> {
    const { device, mac } = this.#parts;
    switch (event) {
      case "deleted link":
        return void inside(this.#host, () => ip(`link del ${device}`));
      case "deleted forwarding entry":
        return void inside(this.#host, () => runIn("bridge", "fdb", "del", mac, "dev", device));
      case "another MAC address in a neighbour":
        return void inside(this.#host, () => {
          const next = nextOf(this.#parts);
          ip(`neigh replace ${next} lladdr ${OTHER_MAC} dev ${device} nud permanent`);
        });
      case PUBLISHED:
        this.#parts = { ...this.#parts, mac: macOf(++this.#told) };
        return void await this.#tell!(this.#parts.mac);
      case "underlay made anew":
        return await this.#lab.plugIn(this.#host);
      default:
        event satisfies never;
    }
  }

  /** What comes last is looked for first: a look costs as much as a repair. */
  #isWhole(): boolean {
    const { device, route, mac, remote } = this.#parts;
    const next = nextOf(this.#parts);
    return ip(`route show ${route}`).includes(`dev ${device}`) &&
      ip(`neigh show to ${next} dev ${device}`).includes(mac) &&
      runIn("bridge", "fdb", "show", "dev", device).includes(`${mac} dst ${remote}`);
  }

  async #until(isSo: () => boolean): Promise<void> {
    const startMs = performance.now();
    while (!inside(this.#host, isSo)) {
      if (performance.now() - startMs > PATIENCE_MS) throw new Error("the tunnel is not whole");
      await pause(1);
    }
  }
}

/** Between one step and the next this thread is at home, where other links are laid. */
function inside<T>({ namespace }: Host, act: () => T): T {
  const leave = enterNamed(namespace);
  try {
    return act();
  } finally {
    leave();
  }
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
