import { existsSync, readdirSync, rmSync } from "node:fs";
import { Option } from "commander";
import { join } from "node:path";
import { DEFAULT_SETTINGS } from "../agent/settings.ts";
import { DenimError } from "../base/errors.ts";
import { variableIn } from "../host/environment-file.ts";
import { Installation } from "../host/installation.ts";
import { removeEmpty } from "../host/own-files.ts";
import { systemctl, systemdRuns, unitProperty } from "../host/systemd.ts";
import type { Register } from "./command.ts";
import { isMember, SERVICE } from "./systemd.ts";

interface UninstallFlags {
  readonly stateDir?: string;
  readonly keepState?: boolean;
  readonly root: string;
}

/** `denim uninstall`: takes away what `install`, `init` and `join` put among the host's files. */
export const registerUninstall: Register = (program, { io }) => {
  program.command("uninstall")
    .description("take denim.service and what goes with it off this host, once it has left")
    .addOption(new Option("--state-dir <dir>", "identity and store").env("DENIM_STATE_DIR"))
    .option("--keep-state", "although this host is in a cluster: identity and routes stay")
    .addOption(new Option("--root <folder>", "what stands for / of the host").default("/"))
    .action(async ({ stateDir, keepState, root }: UninstallFlags) => {
      const installation = new Installation(root);
      const folder = stateDir ?? variableIn(installation.environment, "DENIM_STATE_DIR") ??
        DEFAULT_SETTINGS.stateDir;
      const state = join(root, folder);
      if (isMember(state) && !keepState) throw stillIn(folder);
      const live = root === "/" && systemdRuns();
      if (live) await stop();
      else if (root !== "/") await systemctl(`--root=${root}`, "--quiet", "disable", SERVICE);
      const removed = installation.uninstall();
      for (const path of removed) io.out(`removed ${path}\n`);
      if (removed.length === 0) io.out("Nothing here was written by denim install.\n");
      if (live) await systemctl("daemon-reload");
      if (!isMember(state)) tidy(root, state);
      if (installation.isPackaged) {
        io.err(`${SERVICE} belongs to a package, and goes with it: apt-get remove denim\n`);
      }
    });
};

/** What a host that has left still has: folders with nothing in them, and a lock of nobody. */
function tidy(root: string, state: string): void {
  if (existsSync(state) && readdirSync(state).join() === "lock") rmSync(join(state, "lock"));
  for (const path of [state, join(root, "run/denim"), join(root, "run/flannel")]) {
    removeEmpty(path);
  }
}

/** Routes stay when it stops, as always. */
async function stop(): Promise<void> {
  if (await unitProperty(SERVICE, "LoadState") !== "loaded") return;
  await systemctl("disable", "--now", "--quiet", SERVICE);
}

function stillIn(stateDir: string): DenimError {
  return new DenimError("CLUSTER_EXISTS", "This host is in a cluster", {
    why: `its identity is in ${stateDir}, and its subnet and routes would stay as they are`,
    fix: "denim leave, then denim uninstall; or keep them for later: denim uninstall --keep-state",
  });
}
