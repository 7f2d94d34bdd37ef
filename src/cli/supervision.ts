import type { StatusView } from "../api/service.ts";
import { type Clock, sleep } from "../base/clock.ts";
import { DenimError } from "../base/errors.ts";

/** Whom the daemon tells how it is: `sd_notify(3)`. Drivers: a datagram socket, and tests. */
export interface Manager extends Disposable {
  /** One message of assignments; false when it was not taken. */
  send(...assignments: readonly string[]): boolean;
}

export interface SupervisionOptions {
  readonly manager: Manager;
  readonly clock: Clock;
  /** Without a keep-alive for so long the manager ends this process; `undefined`: it does not. */
  readonly watchdogMs: number | undefined;
  /** How this host is, at once. */
  readonly status: () => StatusView;
  /** Resolves when the daemon has answered whoever asks it; rejects when it cannot. */
  readonly answers: (timeoutMs: number) => Promise<unknown>;
}

const READY_LOOK_MS = 50;
const LOOK_MS = 2_000;
/** An answer, or the time between two, takes this part of the watchdog's time at most. */
const TURNS_PER_WATCHDOG = 3;

/**
 * Tells the service manager how the daemon is, until it is disposed of: `READY=1` once containers
 * can be started here, a line of status whenever it changes, and keep-alives for as long as the
 * daemon answers its own API: one whose loop turns and that answers nobody is not alive.
 */
export function supervise(options: SupervisionOptions): AsyncDisposable {
  const { manager } = options;
  const over = new AbortController();
  const running = run(options, over.signal);
  return {
    async [Symbol.asyncDispose]() {
      over.abort();
      await running;
      manager.send("STOPPING=1", "STATUS=stopping");
    },
  };
}

async function run(options: SupervisionOptions, signal: AbortSignal): Promise<void> {
  const { manager, clock, watchdogMs, status, answers } = options;
  let [isReady, said] = [false, ""];
  const patienceMs = (watchdogMs ?? Infinity) / TURNS_PER_WATCHDOG;
  while (!signal.aborted) {
    const view = status();
    const news: string[] = [];
    const line = statusLine(view);
    if (line !== said) news.push(`STATUS=${line}`);
    if (view.ready && !isReady) news.push("READY=1");
    if (news.length > 0 && manager.send(...news)) [isReady, said] = [isReady || view.ready, line];
    // Before it is ready nobody waits for keep-alives, and the API may not be open yet.
    if (watchdogMs !== undefined && isReady) {
      await answers(patienceMs).then(() => manager.send("WATCHDOG=1"), () => {});
    }
    await sleep(clock, isReady ? Math.min(LOOK_MS, patienceMs) : READY_LOOK_MS, signal);
  }
}

/** One line, for `systemctl status`. */
export function statusLine({ lease, dataPlane, cluster, role, ready, checks }: StatusView): string {
  if (!ready) {
    const why = checks.filter(({ ok }) => !ok).map(({ name, why }) => why ?? `no ${name} yet`);
    return `not ready: ${why.join("; ")}`;
  }
  const routes = Object.entries(dataPlane.routes).map(([state, count]) => `${count} ${state}`);
  const leader = cluster?.leader ? `leader ${cluster.leader}` : "no leader";
  return [
    `${lease.subnets.join(", ")}${lease.state === "held" ? "" : `, ${lease.state}`}`,
    `routes: ${routes.join(", ") || "none"}`,
    `${role} of ${cluster?.nodes ?? 1}`,
    leader,
  ].join(" · ");
}

/**
 * How long the manager waits for keep-alives, out of its environment (`sd_watchdog_enabled(3)`).
 *
 * @throws `CONFIG_INVALID`
 */
export function watchdogMsOf(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): number | undefined {
  const { WATCHDOG_USEC: usec, WATCHDOG_PID: ofPid } = env;
  if (usec === undefined || (ofPid !== undefined && Number(ofPid) !== pid)) return undefined;
  if (/^[1-9]\d*$/.test(usec)) return Number(usec) / 1000;
  throw new DenimError("CONFIG_INVALID", `WATCHDOG_USEC=${usec} is no number of microseconds`, {
    fix: "leave the variable to systemd: WatchdogSec= in the unit",
  });
}
