import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { DenimError } from "../../base/errors.ts";
import { get } from "./http.ts";
import { plainEnvironment, type Program } from "./self.ts";
import { sendSignal } from "./signal.ts";
import { waitFor, type WaitOptions } from "./wait.ts";

export interface DaemonOptions {
  readonly namespace: string;
  readonly program: Program;
  readonly parameters: readonly string[];
  /** Appended to, so that it tells of restarts. */
  readonly logFile: string;
  readonly socketPath: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** One daemon in a network namespace. It is no child of a shell: its pid is its own. */
export class Daemon {
  readonly pid: number;
  /** Its exit status; `null` when a signal ended it. */
  readonly ended: Promise<number | null>;
  readonly #options: DaemonOptions;
  #status: number | null | undefined;

  private constructor(options: DaemonOptions, child: ChildProcess) {
    this.#options = options;
    this.pid = child.pid!;
    this.ended = new Promise((resolve) => {
      child.once("exit", (status) => {
        this.#status = status;
        resolve(status);
      });
    });
  }

  static start(options: DaemonOptions): Promise<Daemon> {
    const { namespace, program, parameters, logFile } = options;
    const log = openSync(logFile, "a");
    const child = spawn("ip", ["netns", "exec", namespace, ...program, ...parameters], {
      stdio: ["ignore", log, log],
      // A Ctrl-C is for the lab, which ends its programs in its own order.
      detached: true,
      env: plainEnvironment(options.env),
    });
    closeSync(log);
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("spawn", () => resolve(new Daemon(options, child)));
    });
  }

  get isRunning(): boolean {
    return this.#status === undefined;
  }

  /** Resolves when the daemon says that it is ready; rejects when it ends or takes too long. */
  async ready(options: WaitOptions): Promise<void> {
    await waitFor("the daemon is ready", options, async () => {
      if (!this.isRunning) throw this.#endedError();
      const { socketPath } = this.#options;
      const answer = await get({ socketPath }, "/readyz", { timeoutMs: 2_000 }).catch(() => null);
      return answer?.status === 200 ? true : undefined;
    });
  }

  /** Ends it and resolves with its exit status when it is gone. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    if (this.isRunning) sendSignal(this.pid, signal);
    return await this.ended;
  }

  /** The last lines of what it said. */
  logTail(count: number): string[] {
    return readFileSync(this.#options.logFile, "utf8").trimEnd().split("\n").slice(-count);
  }

  #endedError(): DenimError {
    const how = this.#status === null ? "was killed" : `ended with status ${this.#status}`;
    const lines = this.logTail(10);
    const said = lines.findLast((line) => line.startsWith("error: ")) ?? lines.at(-1);
    return new DenimError("CHECKS_FAILED", `The daemon ${how}`, { why: said || "it said nothing" });
  }
}
