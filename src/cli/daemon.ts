import process from "node:process";
import type { Way } from "../agent/entry.ts";
import type { Daemon } from "../agent/start.ts";
import type { CommandContext } from "./command.ts";
import { type DaemonFlags, nameOf, settingsOf, withEnvironment } from "./daemon-options.ts";

export interface DaemonRun {
  readonly flags: DaemonFlags;
  readonly way: Way;
  readonly seeds: readonly string[];
  /** Once this host is in its cluster; the daemon goes on. */
  readonly onUp?: (daemon: Daemon) => Promise<void>;
}

/**
 * Runs the daemon in this process until a signal, or until it has left its cluster. Stopping leaves
 * routes, subnet file and lease as they are: containers keep talking.
 */
export async function runDaemon(context: CommandContext, run: DaemonRun): Promise<void> {
  const { io, version, backends } = context;
  const { flags } = run;
  const [{ startDaemon }, { processLogger }] = await Promise.all([
    import("../agent/start.ts"),
    import("../host/logger.ts"),
  ]);
  const logger = processLogger({ level: flags.logLevel, format: flags.logFormat });
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.once("SIGTERM", onSignal).once("SIGINT", onSignal);
  try {
    await using daemon = await startDaemon({
      settings: settingsOf(withEnvironment(flags, io.env), version, run.seeds),
      name: nameOf(flags),
      way: run.way,
      ...{ backends, logger },
      signal: stop.signal,
      onStep: (step, detail) => io.err(`  ✓ ${step.padEnd(9)} ${detail}\n`),
    });
    const signalled = new Promise<void>((resolve) => {
      if (stop.signal.aborted) resolve();
      stop.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    const end = Promise.race([signalled, daemon.retired]);
    // What is said to the newcomer may have to wait; a signal does not wait for it.
    await Promise.race([end, run.onUp?.(daemon).then(() => end) ?? end]);
    logger.info("stopping; routes and lease stay as they are");
  } finally {
    process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
  }
}
