import { join } from "node:path";
import type { Way } from "../agent/entry/entry.ts";
import type { StatusView } from "../api/service.ts";
import { systemClock } from "../base/clock.ts";
import { IdentityFolder } from "../store/identity.ts";
import type { CommandContext, Register } from "./command.ts";
import { addDaemonOptions, type DaemonFlags } from "./daemon-options.ts";
import { runDaemon } from "./daemon.ts";
import { askToken, tokenFileOption } from "./join.ts";
import { waitUntilReady } from "./ready.ts";
import { asService, belongsToSystemd, enterAndServe } from "./systemd.ts";

/**
 * `denim rejoin`: the way back for a node whose store is damaged, gone, an old copy, or of an
 * earlier epoch; with a token also where its certificate ran out, its key is lost, or the cluster
 * has another CA now. It keeps its identity and its lease; the old store stays beside the new one.
 */
export const registerRejoin: Register = (program, context) => {
  const command = program.command("rejoin")
    .description("bring this host back into its cluster with an empty store; the old one is kept")
    .argument("<host...>", "a server of the cluster, host or host:port; more than one to be sure")
    .addOption(tokenFileOption())
    .option("--with-token", "come back by a token, which is asked for where none is given")
    .option("--foreground", "run the daemon here, in this process");
  addDaemonOptions(command).action(
    async (hosts: string[], given: DaemonFlags & RejoinFlags) => {
      const flags = asService(command, given);
      const token = await tokenIfAny(context, flags);
      const way: Way = {
        ...{ kind: "rejoin", addresses: hosts },
        ...(token === undefined ? {} : { token }),
      };
      const run = { flags, seeds: hosts, way };
      if (belongsToSystemd(flags.foreground)) {
        context.io.err(backText(await enterAndServe(context, command, run)));
        return;
      }
      await runDaemon(context, {
        ...run,
        onUp: async ({ service }) => {
          await waitUntilReady(service);
          context.io.err(backText(service.status()));
        },
      });
    },
  );
};

interface RejoinFlags {
  readonly tokenFile?: string;
  readonly withToken?: boolean;
  readonly foreground?: boolean;
}

function backText({ node, lease, ready }: StatusView): string {
  return `  ✓ lease     ${lease.subnets.join(", ")}\n` +
    `${node.name} is ${ready ? "back" : "back, but not ready yet"}.\n`;
}

/** Asked for where it was not given and nothing else can speak for this node. */
async function tokenIfAny(
  context: CommandContext,
  { tokenFile, withToken, stateDir }: DaemonFlags & RejoinFlags,
): Promise<string | undefined> {
  const isGiven = tokenFile !== undefined || context.io.env["DENIM_TOKEN"] !== undefined;
  if (!isGiven && withToken !== true && !await isMute(stateDir)) return undefined;
  return await askToken(context, tokenFile);
}

/** A member that no certificate speaks for. */
async function isMute(stateDir: string): Promise<boolean> {
  const identity = new IdentityFolder(join(stateDir, "identity"));
  if (await identity.read("node") === undefined) return false;
  const { needsToken } = await import("../agent/entry/returning.ts");
  return await needsToken(identity, systemClock());
}
