import type { Way } from "../agent/entry/entry.ts";
import { DenimError } from "../base/errors.ts";
import { type Command, Option } from "commander";
import type { Register } from "./command.ts";
import { addDaemonOptions, type DaemonFlags, networkText } from "./daemon-options.ts";
import { runDaemon } from "./daemon.ts";
import { readToken, tokenFileOption } from "./join.ts";

/**
 * `denim run`: the daemon in the foreground, and the one form for hosts that nobody watches: first
 * boot, restart and growth are the same line. On an empty state directory it joins or waits; only
 * `--init` makes it form a cluster.
 */
export const registerRun: Register = (program, context) => {
  const command = program.command("run")
    .description("run the daemon: as a member, or as one that joins or waits");
  addDaemonOptions(addWayOptions(command)).action(async (flags: DaemonFlags & WayFlags) => {
    await runDaemon(context, { flags, ...wayOf(flags, context.io.env) });
  });
};

/** How a host that is in no cluster gets into one. */
export interface WayFlags {
  readonly join?: string;
  readonly tokenFile?: string;
  readonly replace?: string;
  readonly init?: boolean;
  readonly network?: string;
}

export function addWayOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--join <hosts>", "servers to join or to find again, with commas between")
        .env("DENIM_JOIN"),
    )
    .addOption(tokenFileOption())
    .option("--replace <node>", "when joining: take the place of a node that is gone")
    .option("--init", "form a cluster where this host is in none and no --join host answers")
    .option("--network <network>", "with --init: block, flannel's JSON, or a file with it");
}

/** @throws `USAGE` `CONFIG_INVALID` */
export function wayOf(
  flags: WayFlags,
  env: Readonly<Record<string, string | undefined>>,
): { readonly seeds: readonly string[]; readonly way: Way } {
  const seeds = (flags.join ?? "").split(",").map((host) => host.trim()).filter(Boolean);
  if (flags.init) {
    if (flags.network === undefined) {
      throw new DenimError("USAGE", "--init needs --network", {
        fix: "for example: denim run --init --network 10.244.0.0/16",
      });
    }
    return { seeds, way: { kind: "found", network: networkText(flags.network) } };
  }
  const { tokenFile } = flags;
  const fromEnvironment = env["DENIM_TOKEN"];
  if (seeds.length === 0 || (tokenFile === undefined && fromEnvironment === undefined)) {
    return { seeds, way: { kind: "wait" } };
  }
  // Read anew at each attempt: somebody may put a fresh one there.
  const token = () =>
    Promise.resolve(tokenFile === undefined ? fromEnvironment! : readToken(tokenFile));
  const way: Way = {
    ...{ kind: "join", addresses: seeds, token, replace: flags.replace, keepTrying: true },
  };
  return { seeds, way };
}
