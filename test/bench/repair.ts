/**
 * From an event to the route that is back, counted from the start of the command that makes the
 * event: by a daemon, and in turn, on a host beside it, by the least that could be scripted, a loop
 * around `ip monitor` that knows one route. The goals are in milliseconds. Needs root.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import { Lab } from "../../src/cli/lab/lab.ts";
import { sendSignal } from "../../src/cli/lab/signal.ts";
import { found, joinBy, makeToken, onNode, subnetOf, untilRouted } from "../support/lab.ts";
import { enterNamed, ip } from "../support/namespace.ts";
import { measureTunnel, type Rounds } from "./repair-tunnel.ts";
import { type BenchResult, benchResult, type BenchRow, benchRow, median } from "./result.ts";

const GOAL_MS = { "deleted route": 50, "interface flap": 200, "address of a new interface": 200 };
type Event = keyof typeof GOAL_MS;
const EVENTS = Object.keys(GOAL_MS) as Event[];

/** Twenty in a row would look like somebody who fights over the routes, and is answered slowly. */
const PAUSE_MS = 1_100;
/** Until nobody looks around any more because of the last event. */
const SETTLE_MS = 200;
/** What a tunnel has is repaired ten times without a pause before it looks like a fight. */
const TUNNEL_ROUNDS = 10;
const PATIENCE_MS = 10_000;

const clock = systemClock();

export async function run(options: { tiny: boolean }): Promise<BenchResult> {
  const rounds = options.tiny ? 2 : 20;
  const folder = mkdtempSync(join(tmpdir(), "denim-bench-"));
  const prefix = `${basename(folder)}-`;
  await using lab = await Lab.create({ prefix, folder, clock, prober: onNode });
  try {
    const [a, b] = [await lab.addHost("a"), await lab.addHost("b")];
    await found(a, onNode);
    await joinBy(b, onNode, a, await makeToken(a, 1, ["--role", "agent"]));
    await untilRouted([a, b]);
    const pauseMs = options.tiny ? SETTLE_MS : PAUSE_MS;
    const ours = new Side(lab, b, await subnetOf(a));
    const byHand = new Side(lab, await lab.addHost("c"), "198.51.100.0/24");
    using _script = byHand.script(a.address);
    const rows: BenchRow[] = [];
    const sides = { ours, byHand };
    for (const event of EVENTS) rows.push(await measure(event, sides, { count: rounds, pauseMs }));
    const count = Math.min(rounds, TUNNEL_ROUNDS);
    rows.push(...await measureTunnel(lab, { count, pauseMs: SETTLE_MS }));
    return benchResult("repair", rows);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(
  event: Event,
  { ours, byHand }: { readonly ours: Side; readonly byHand: Side },
  { count, pauseMs }: Rounds,
): Promise<BenchRow> {
  const took: Record<"denim" | "peer", number[]> = { denim: [], peer: [] };
  for (let round = 0; round < count; round++) {
    took.denim.push(await ours.lasted(event));
    // The script has its turn while the daemon has its pause.
    const rest = pause(pauseMs);
    took.peer.push(await byHand.lasted(event));
    await rest;
  }
  const measured = { denim: median(took.denim), peer: median(took.peer), unit: "ms" as const };
  const goalMs = GOAL_MS[event];
  const name = `${event}, median, against a script (goal: ${goalMs} ms)`;
  return benchRow(name, measured, goalMs / measured.peer);
}

/** A host, and a route there that somebody looks after. */
class Side {
  readonly #lab: Lab;
  readonly #host: Host;
  readonly #destination: string;

  constructor(lab: Lab, host: Host, destination: string) {
    this.#lab = lab;
    this.#host = host;
    this.#destination = destination;
  }

  /** Until it is disposed of, a loop adds the route whenever anything happens. */
  script(gateway: string): Disposable {
    const { namespace } = this.#host;
    const add = `ip route add ${this.#destination} via ${gateway} dev eth0`;
    const loop = `${add}; ip monitor link address route | while read -r _; do ${add}; done`;
    const child: ChildProcess = spawn("ip", ["netns", "exec", namespace, "sh", "-c", loop], {
      stdio: "ignore",
      detached: true,
    });
    // Its group: the shell, its loop and `ip monitor`.
    return { [Symbol.dispose]: () => sendSignal(-child.pid!, "SIGKILL") };
  }

  /** Milliseconds from the start of the event until the route stands; then things settle. */
  async lasted(event: Event): Promise<number> {
    const leave = enterNamed(this.#host.namespace);
    try {
      await this.#untilThere();
      if (event === "address of a new interface") await this.#renewInterface();
      const startMs = performance.now();
      this.#happens(event);
      await this.#untilThere();
      const tookMs = performance.now() - startMs;
      await pause(SETTLE_MS);
      return tookMs;
    } finally {
      leave();
    }
  }

  #happens(event: Event): void {
    switch (event) {
      case "deleted route":
        return void ip(`route del ${this.#destination}`);
      case "interface flap":
        ip("link set eth0 down");
        return void ip("link set eth0 up");
      case "address of a new interface":
        return void ip(`address add ${this.#host.address}/24 dev eth0`);
      default:
        event satisfies never;
    }
  }

  /** Another link of the same name, that is up, and lacks an address. */
  async #renewInterface(): Promise<void> {
    ip("link del eth0");
    await this.#lab.lay(this.#host, "eth0");
    ip("link set eth0 up");
    await pause(SETTLE_MS);
  }

  async #untilThere(): Promise<void> {
    const startMs = performance.now();
    while (ip(`route show ${this.#destination}`) === "") {
      if (performance.now() - startMs > PATIENCE_MS) throw new Error("the route did not come back");
      await pause(1);
    }
  }
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
