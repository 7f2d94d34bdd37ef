/** How a host gets its service: a daemon that a person starts belongs under what runs the host. */
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { DEFAULT_SETTINGS } from "../agent/settings.ts";
import type { NodeView, StatusView, TokenMade } from "../api/service.ts";
import { sleep, systemClock } from "../base/clock.ts";
import { DenimError, isDenimError } from "../base/errors.ts";
import { Installation, type Wishes } from "../host/installation.ts";
import { systemctl, systemdRuns, unitProperty } from "../host/systemd.ts";
import type { ServiceCommand } from "../host/systemd-units.ts";
import { clientOf } from "./client.ts";
import type { CommandContext } from "./command.ts";
import { type DaemonFlags, variablesOf, withFile } from "./daemon-options.ts";
import { type DaemonRun, runDaemon } from "./daemon.ts";
import { ownProgram } from "./lab/self.ts";

export const SERVICE = "denim.service";

const POLL_MS = 100;
const PATIENCE_MS = 60_000;

/** Where systemd runs the host it runs the daemon, unless somebody wants it in the terminal. */
export function belongsToSystemd(foreground: boolean | undefined): boolean {
  return foreground !== true && systemdRuns();
}

/**
 * Flags as the service has them: what is not given here may stand in its file, and a host that
 * enters with another state directory, or name, would not be the service's.
 */
export function asService<Flags extends DaemonFlags & { readonly foreground?: boolean }>(
  command: Command,
  flags: Flags,
): Flags {
  if (!belongsToSystemd(flags.foreground)) return flags;
  return withFile(command, flags, new Installation().environment);
}

/** What is to be installed for a daemon with these flags. */
export function wishesOf(command: Command, flags: DaemonFlags): Wishes {
  return {
    program: ownProgram() as ServiceCommand,
    variables: variablesOf(command),
    folders: foreignFolders(flags),
  };
}

/**
 * Brings this host into its cluster in this process, where a person sees how far it gets and a
 * token is no concern of the service; then installs the service, starts it, and waits until
 * containers can be started, or for a minute.
 *
 * @returns how the host is then
 * @throws what entering, installing or starting refuses; before it has entered nothing is installed
 */
export async function enterAndServe(
  context: CommandContext,
  command: Command,
  run: Omit<DaemonRun, "onUp" | "once">,
): Promise<StatusView> {
  const { flags } = run;
  const wishes = wishesOf(command, flags);
  const installation = new Installation();
  installation.check(wishes);
  const wasTrying = await stopWaiting(isMember(flags.stateDir));
  try {
    await runDaemon(context, { ...run, once: true });
  } catch (error) {
    if (wasTrying) await systemctl("start", "--no-block", SERVICE);
    throw error;
  }
  await installation.install(wishes);
  await systemctl("daemon-reload");
  await systemctl("enable", "--quiet", SERVICE);
  await systemctl("restart", "--no-block", SERVICE);
  const status = await served(flags);
  const how = status.ready ? "ready" : "started, not ready yet";
  context.io.err(`  ✓ ${"service".padEnd(9)} ${SERVICE}: ${how}\n`);
  return status;
}

/** Whether there is an identity: this host is, or was, in a cluster. */
export function isMember(stateDir: string): boolean {
  return existsSync(join(stateDir, "identity", "node.json"));
}

/** What is said once a host is in comes from its daemon, through the socket. */
export async function askNodes(flags: DaemonFlags): Promise<readonly NodeView[]> {
  const answer = await (await clientOf(flags)).call("/v1/nodes") as { items: NodeView[] };
  return answer.items;
}

export async function makeToken(flags: DaemonFlags, ttlMs: number): Promise<TokenMade> {
  return await (await clientOf(flags)).call("/v1/tokens", {
    method: "POST",
    body: JSON.stringify({ role: "server", uses: 1, ttlMs }),
    headers: { "content-type": "application/json" },
  }) as TokenMade;
}

/**
 * A service that was started before there was a cluster waits for one, and one that fails is tried
 * again and again: both have the state directory. One that is up is not stopped by the way.
 *
 * @returns whether it was stopped: where nothing comes of this, it has to go on trying
 */
async function stopWaiting(isMember: boolean): Promise<boolean> {
  const state = await unitProperty(SERVICE, "ActiveState");
  const tries = state === "activating" || (state === "active" && !isMember);
  if (tries) await systemctl("stop", SERVICE);
  return tries;
}

/** @throws `SYSTEMD_FAILED` when the service has ended, `TIMEOUT` when it answers nobody */
async function served(flags: DaemonFlags): Promise<StatusView> {
  const clock = systemClock();
  const client = await clientOf(flags);
  const endMs = clock.monotonicMs() + PATIENCE_MS;
  let found: StatusView | undefined;
  while (clock.monotonicMs() < endMs) {
    try {
      found = await client.call("/v1/self", { timeoutMs: PATIENCE_MS }) as StatusView;
      if (found.ready) return found;
    } catch (error) {
      if (!isDenimError(error, "DAEMON_UNREACHABLE", "TIMEOUT", "CONNECTION_LOST")) throw error;
      if (await unitProperty(SERVICE, "ActiveState") === "failed") throw notRunning();
    }
    await sleep(clock, POLL_MS);
  }
  if (found !== undefined) return found;
  throw new DenimError("TIMEOUT", `${SERVICE} has not answered for a minute`, {
    fix: `look at what it says: journalctl -u ${SERVICE}`,
  });
}

function notRunning(): DenimError {
  return new DenimError("SYSTEMD_FAILED", `${SERVICE} ends as soon as it is started`, {
    why: "this host is in its cluster, but its daemon does not run",
    fix: `look at what it says: journalctl -u ${SERVICE}`,
  });
}

/** The unit has its own state and runtime directories; everything else is read-only to it. */
function foreignFolders(flags: DaemonFlags): Wishes["folders"] {
  const { stateDir, subnetFile, socket, readSocket, cniConflist } = flags;
  const files = [subnetFile, socket, readSocket, cniConflist].filter((path) => path !== undefined);
  const folders = new Map(files.map((path) => [dirname(resolve(path)), 0o755]));
  folders.set(resolve(stateDir), 0o700);
  return [...folders].map(([path, mode]) => ({ path, mode }))
    .filter(({ path }) =>
      path !== DEFAULT_SETTINGS.stateDir && !/^\/run\/(?!user\/)/.test(`${path}/`)
    );
}
