import process from "node:process";
import type { Way } from "../agent/entry/entry.ts";
import type { Daemon } from "../agent/start.ts";
import { systemClock } from "../base/clock.ts";
import { clientOf } from "./client.ts";
import type { CommandContext } from "./command.ts";
import { type DaemonFlags, nameOf, settingsOf, withEnvironment } from "./daemon-options.ts";
import { type Manager, supervise, watchdogMsOf } from "./supervision.ts";

export interface DaemonRun {
  readonly flags: DaemonFlags;
  readonly way: Way;
  readonly seeds: readonly string[];
  /** Once this host is in its cluster; the daemon goes on. */
  readonly onUp?: (daemon: Daemon) => Promise<void>;
  /** Ends once this host is in its cluster: somebody else is to run the daemon. */
  readonly once?: boolean;
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
  using manager = await managerOf(io.env);
  const watchdogMs = watchdogMsOf(io.env, process.pid);
  manager?.send("STATUS=not ready: this host is in no cluster yet, or has just begun");
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
      onStep: (step, detail) => {
        manager?.send(`STATUS=${step}: ${detail}`);
        io.err(`  ✓ ${step.padEnd(9)} ${detail}\n`);
      },
    });
    await using _supervision = manager && supervise({
      ...{ manager, clock: systemClock(), watchdogMs },
      status: () => daemon.service.status(),
      answers: async (timeoutMs) => (await clientOf(flags)).download("/livez", { timeoutMs }),
    });
    const signalled = new Promise<void>((resolve) => {
      if (stop.signal.aborted) resolve();
      stop.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    const end = run.once ? Promise.resolve() : Promise.race([signalled, daemon.retired]);
    // What is said to the newcomer may have to wait; a signal does not wait for it.
    await Promise.race([end, run.onUp?.(daemon).then(() => end) ?? end]);
    if (!run.once) logger.info("stopping; routes and lease stay as they are");
  } finally {
    process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
  }
}

/** Whoever started this process and wants to know how it is; `undefined`: nobody. */
async function managerOf(
  env: Readonly<Record<string, string | undefined>>,
): Promise<Manager | undefined> {
  const path = env["NOTIFY_SOCKET"];
  if (path === undefined || path === "") return undefined;
  const [{ openLibc }, { NotifySocket }] = await Promise.all([
    import("../kernel/libc.ts"),
    import("../kernel/notify-socket.ts"),
  ]);
  return new NotifySocket(await openLibc(), path);
}
