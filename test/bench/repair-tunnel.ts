/**
 * The same for what a tunnel is made of, as `repair.ts` does it for a route: from the start of the
 * command that takes something away until all of it is back, by a daemon and by a script.
 */
import { spawn } from "node:child_process";
import type { Host } from "../../src/cli/lab/host.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";
import { sendSignal } from "../../src/cli/lab/signal.ts";
import { onNode, subnetOf } from "../support/lab.ts";
import { enterNamed, ip, runIn } from "../support/namespace.ts";
import { formCluster, untilInPlace } from "../support/tunnels.ts";
import { type BenchRow, benchRow, median } from "./result.ts";

const GOAL_MS = 200;
const EVENTS = [
  ...["deleted link", "deleted forwarding entry", "another MAC address for a peer"],
  "underlay made anew",
] as const;
type Event = (typeof EVENTS)[number];

const PATIENCE_MS = 10_000;
const NETWORK = { Network: "10.245.0.0/16", Backend: { Type: "vxlan", VNI: 9 } };
const OTHER_MAC = "02:00:00:00:00:99";

export interface Rounds {
  readonly count: number;
  readonly pauseMs: number;
}

/** Three hosts of this lab: two in a network by a tunnel, and one where a script does the same. */
export async function measureTunnel(lab: Lab, rounds: Rounds): Promise<BenchRow[]> {
  const [a, b, c] = [await lab.addHost("x"), await lab.addHost("y"), await lab.addHost("z")];
  await formCluster([[a, onNode], [b, onNode]], NETWORK);
  await untilInPlace([a, b], 1);
  const toA = await subnetOf(a);
  const mac = inside(a, () => /link\/ether (\S+)/.exec(ip("link show denim.9"))![1]!);
  const next = toA.split("/")[0]!;
  const ours = new End(lab, b, { device: "denim.9", route: toA, next, mac, remote: a.address });
  const parts = { device: "vx9", route: "198.51.100.0/24", next: "198.51.100.0", mac };
  const byHand = new End(lab, c, { ...parts, remote: a.address });
  using _script = byHand.script();
  const rows: BenchRow[] = [];
  for (const event of EVENTS) {
    const took: Record<"denim" | "peer", number[]> = { denim: [], peer: [] };
    for (let round = 0; round < rounds.count; round++) {
      took.denim.push(await ours.lasted(event, rounds.pauseMs));
      took.peer.push(await byHand.lasted(event, rounds.pauseMs));
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
  readonly next: string;
  readonly mac: string;
  readonly remote: string;
}

/** One end, that somebody looks after. */
class End {
  readonly #lab: Lab;
  readonly #host: Host;
  readonly #parts: Parts;

  constructor(lab: Lab, host: Host, parts: Parts) {
    this.#lab = lab;
    this.#host = host;
    this.#parts = parts;
  }

  /** Until it is disposed of, a loop makes what is missing whenever anything happens. */
  script(): Disposable {
    const { device, route, next, mac, remote } = this.#parts;
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
    await this.#until(() => this.#isWhole());
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
    const { device, next, mac } = this.#parts;
    switch (event) {
      case "deleted link":
        return void inside(this.#host, () => ip(`link del ${device}`));
      case "deleted forwarding entry":
        return void inside(this.#host, () => runIn("bridge", "fdb", "del", mac, "dev", device));
      case "another MAC address for a peer":
        return void inside(
          this.#host,
          () => ip(`neigh replace ${next} lladdr ${OTHER_MAC} dev ${device} nud permanent`),
        );
      case "underlay made anew":
        return await this.#lab.plugIn(this.#host);
      default:
        event satisfies never;
    }
  }

  /** What comes last is looked for first: a look costs as much as a repair. */
  #isWhole(): boolean {
    const { device, route, next, mac, remote } = this.#parts;
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
