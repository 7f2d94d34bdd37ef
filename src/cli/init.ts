import type { Daemon } from "../agent/start.ts";
import type { Register } from "./command.ts";
import { addDaemonOptions, type DaemonFlags, networkText } from "./daemon-options.ts";
import { runDaemon } from "./daemon.ts";
import { foundedText } from "./farewell.ts";
import { preflight } from "./preflight.ts";
import { asService, belongsToSystemd, enterAndServe, makeToken } from "./systemd.ts";
import { waitUntilReady } from "./ready.ts";

const NETWORK_DEFAULT = "10.244.0.0/16";
const TOKEN_TTL_MS = 3_600_000;

/** `denim init`: a new cluster, with this host as its first. */
export const registerInit: Register = (program, context) => {
  const command = program.command("init")
    .description("form a new cluster with this host as its first")
    .option("--network <network>", "block, flannel's JSON, or a file with it", NETWORK_DEFAULT)
    .option("--foreground", "run the daemon here, in this process");
  addDaemonOptions(command).action(async (given: DaemonFlags & InitFlags) => {
    const flags = asService(command, given);
    const network = networkText(flags.network);
    await preflight(context, flags, network);
    const run = { flags, way: { kind: "found", network }, seeds: [] } as const;
    if (belongsToSystemd(flags.foreground)) {
      const status = await enterAndServe(context, command, run);
      context.io.err(foundedText(status, await makeToken(flags, TOKEN_TTL_MS)));
      return;
    }
    await runDaemon(context, {
      ...run,
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

async function farewell({ service }: Daemon): Promise<string> {
  const made = await service.createToken({ role: "server", uses: 1, ttlMs: TOKEN_TTL_MS });
  return foundedText(service.status(), made);
}
