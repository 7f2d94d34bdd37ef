import type { Daemon } from "../agent/start.ts";
import type { Register } from "./command.ts";
import { addDaemonOptions, type DaemonFlags, networkText } from "./daemon-options.ts";
import { runDaemon } from "./daemon.ts";
import { refuseDetached } from "./systemd.ts";
import { waitUntilReady } from "./ready.ts";

const NETWORK_DEFAULT = "10.244.0.0/16";
const TOKEN_TTL_MS = 3_600_000;

/** `denim init`: a new cluster, with this host as its first. */
export const registerInit: Register = (program, context) => {
  const command = program.command("init")
    .description("form a new cluster with this host as its first")
    .option("--network <network>", "block, flannel's JSON, or a file with it", NETWORK_DEFAULT)
    .option("--foreground", "run the daemon here, in this process");
  addDaemonOptions(command).action(async (flags: DaemonFlags & InitFlags) => {
    refuseDetached(flags.foreground);
    const network = networkText(flags.network);
    await runDaemon(context, {
      flags,
      way: { kind: "found", network },
      seeds: [],
      onUp: async (daemon) => {
        await waitUntilReady(daemon.service);
        context.io.err(await farewell(daemon));
      },
    });
  });
};

interface InitFlags {
  readonly network: string;
  readonly foreground?: boolean;
}

/** The whole next command, so that nobody has to look for it. */
async function farewell({ service }: Daemon): Promise<string> {
  const { lease, dataPlane, cluster } = service.status();
  const made = await service.createToken({ role: "server", uses: 1, ttlMs: TOKEN_TTL_MS });
  return [
    `  ✓ lease     ${lease.subnets.join(", ")} via ${dataPlane.link} ${dataPlane.publicIp}`,
    `  ✓ wrote     ${dataPlane.subnetFile}`,
    "",
    `  Cluster ${cluster?.name} is up. One server so far: losing this host loses the control plane.`,
    "  Two more servers fix that.",
    "",
    "  Add a host (one use, one hour):",
    `      denim join ${made.servers[0]}`,
    `      token: ${made.token}`,
    "",
    "  Many hosts:   denim token create --uses 50 --ttl 1d",
    "  Look around:  denim status",
    "",
  ].join("\n");
}
