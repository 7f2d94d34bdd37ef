import type { Register } from "./command.ts";
import { addDaemonOptions, type DaemonFlags } from "./daemon-options.ts";
import { runDaemon } from "./daemon.ts";
import { waitUntilReady } from "./ready.ts";
import { refuseDetached } from "./systemd.ts";

/**
 * `denim rejoin`: the way back for a node whose store is damaged, gone, an old copy, or of an
 * earlier epoch. It keeps its identity and its lease; the old store stays beside the new one.
 */
export const registerRejoin: Register = (program, context) => {
  const command = program.command("rejoin")
    .description("bring this host back into its cluster with an empty store; the old one is kept")
    .argument("<host...>", "a server of the cluster, host or host:port; more than one to be sure")
    .option("--foreground", "run the daemon here, in this process");
  addDaemonOptions(command).action(
    async (hosts: string[], flags: DaemonFlags & { readonly foreground?: boolean }) => {
      refuseDetached(flags.foreground);
      await runDaemon(context, {
        flags,
        seeds: hosts,
        way: { kind: "rejoin", addresses: hosts },
        onUp: async ({ service }) => {
          const ready = await waitUntilReady(service);
          const { node, lease } = service.status();
          context.io.err(
            `  ✓ lease     ${lease.subnets.join(", ")}\n` +
              `${node.name} is ${ready ? "back" : "back, but not ready yet"}.\n`,
          );
        },
      });
    },
  );
};
