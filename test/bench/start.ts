/**
 * From exec to subnet.env, on a host that has its identity and its lease and is alone in its
 * cluster: after a reboot, containers wait for just this. Against the bare runtime, which sets the
 * floor. Needs root; works in a namespace of its own.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { findTarget, HOST_TARGET } from "../../compile/targets.ts";
import { onNode } from "../support/lab.ts";
import { enterNamespace, ip } from "../support/namespace.ts";
import { root } from "../support/root.ts";
import { type BenchResult, benchResult, benchRow, median } from "./result.ts";

type Program = readonly string[];

/**
 * What a start may take on top of the runtime itself. From source, Node takes the types out of the
 * first file with a module of its own that takes 60 ms to load, and looks for every other one.
 */
const GOAL_MS = { "single binary": 80, "from source": 300 };
type Form = keyof typeof GOAL_MS;

const PATIENCE_MS = 30_000;

export async function run(options: { tiny: boolean }): Promise<BenchResult> {
  const rounds = options.tiny ? 1 : 15;
  const binary = join(root, findTarget(HOST_TARGET)!.output);
  const programs: (readonly [Form, Program])[] = [["from source", onNode]];
  if (!options.tiny && existsSync(binary)) programs.push(["single binary", [binary]]);
  const leave = enterNamespace();
  try {
    ip("link set lo up");
    ip("link add eth0 type veth peer name eth0p");
    ip("address add 192.0.2.1/24 dev eth0");
    ip("link set eth0p up");
    ip("link set eth0 up");
    ip("route add default via 192.0.2.254");
    const rows = [];
    for (const [name, program] of programs) rows.push(await measure(name, program, rounds));
    return benchResult("start", rows);
  } finally {
    leave();
  }
}

async function measure(name: Form, program: Program, rounds: number) {
  const folder = mkdtempSync(join(tmpdir(), "denim-bench-"));
  try {
    const host = new Host(program, folder);
    await host.start(["init", "--foreground"]);
    await host.stop();
    const [ours, bare]: [number[], number[]] = [[], []];
    // In turn, so that a busy machine disturbs both; the first round warms the caches.
    for (let round = -1; round < rounds; round++) {
      const bareMs = await lastedMs(onNode[0]!, ["-e", "0"]);
      const startMs = await host.start(["run"]);
      await host.stop();
      if (round < 0 && rounds > 1) continue;
      bare.push(bareMs);
      ours.push(startMs);
    }
    const peer = median(bare);
    const goalMs = GOAL_MS[name];
    return benchRow(
      `exec to subnet.env, ${name}, against a bare runtime (goal: ${goalMs} ms more)`,
      { denim: median(ours), peer, unit: "ms" },
      (peer + goalMs) / peer,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

class Host {
  readonly #program: Program;
  readonly #folder: string;
  #child: ChildProcess | undefined;

  constructor(program: Program, folder: string) {
    this.#program = program;
    this.#folder = folder;
  }

  /** Resolves with the milliseconds from exec to subnet.env. */
  async start(words: readonly string[]): Promise<number> {
    const subnetFile = join(this.#folder, "subnet.env");
    rmSync(subnetFile, { force: true });
    const [runtime, ...rest] = this.#program as [string, ...string[]];
    const flags = [
      ...["--state-dir", join(this.#folder, "state"), "--subnet-file", subnetFile],
      ...["--socket", join(this.#folder, "denim.sock"), "--name", "bench"],
    ];
    const startedMs = performance.now();
    const env = plainEnvironment();
    this.#child = spawn(runtime, [...rest, ...words, ...flags], { stdio: "ignore", env });
    while (!existsSync(subnetFile)) {
      if (this.#child.exitCode !== null) throw new Error("The daemon has ended");
      if (performance.now() - startedMs > PATIENCE_MS) {
        this.#child.kill("SIGKILL");
        throw new Error("The daemon did not get ready in time");
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return performance.now() - startedMs;
  }

  async stop(): Promise<void> {
    const child = this.#child!;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await gone;
  }
}

function lastedMs(program: string, words: readonly string[]): Promise<number> {
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    spawn(program, words, { stdio: "ignore", env: plainEnvironment() })
      .once("error", reject)
      .once("exit", () => resolve(performance.now() - startedMs));
  });
}

/**
 * What `NODE_EXTRA_CA_CERTS` and its like would have the runtime read at each start belongs to the
 * machine that measures.
 */
function plainEnvironment(): Record<string, string> {
  const { PATH = "", HOME = "/" } = process.env;
  return { PATH, HOME };
}
