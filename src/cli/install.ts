import { addDaemonOptions, type DaemonFlags, withFile } from "./daemon-options.ts";
import type { Register } from "./command.ts";
import { Option } from "commander";
import { Installation } from "../host/installation.ts";
import { systemctl, systemdRuns } from "../host/systemd.ts";
import { SERVICE, wishesOf } from "./systemd.ts";

interface InstallFlags extends DaemonFlags {
  readonly docker?: boolean;
  readonly flanneld?: boolean;
  readonly root: string;
}

/** `denim install`: the service on this host, and what goes with it, without starting anything. */
export const registerInstall: Register = (program, { io }) => {
  const command = program.command("install")
    .description("put denim.service on this host; init and join do so by themselves")
    .option("--docker", "dockerd waits for this host's subnet, and takes it for its own bridge")
    .option("--flanneld", "the service runs denim flanneld, and is flanneld.service as well")
    .addOption(new Option("--root <folder>", "what stands for / of the host").default("/"));
  addDaemonOptions(command).action(async (given: InstallFlags) => {
    const installation = new Installation(given.root);
    const flags = withFile(command, given, installation.environment);
    const { docker, flanneld, root, subnetFile } = flags;
    const changed = await installation.install({
      ...wishesOf(command, flags),
      flanneld,
      docker: docker ? { subnetFile } : undefined,
    });
    for (const path of changed) io.out(`wrote ${path}\n`);
    if (changed.length === 0) io.out("Everything is there already.\n");
    if (root !== "/") {
      await systemctl(`--root=${root}`, "--quiet", "enable", SERVICE);
    } else if (systemdRuns()) {
      await systemctl("daemon-reload");
      await systemctl("enable", "--quiet", SERVICE);
    }
    io.err("What runs goes on as it is. To use the new settings: systemctl restart denim\n");
    if (docker) {
      io.err(
        "dockerd is in the subnet once it is restarted, with its containers: restart docker\n",
      );
    }
  });
};
