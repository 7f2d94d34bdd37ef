import { readFileSync } from "node:fs";
import { Option } from "commander";
import type { Way } from "../agent/entry/entry.ts";
import { DenimError } from "../base/errors.ts";
import { ask } from "./ask.ts";
import type { CommandContext, Register } from "./command.ts";
import { addDaemonOptions, type DaemonFlags } from "./daemon-options.ts";
import { runDaemon } from "./daemon.ts";
import { joinedText } from "./farewell.ts";
import { farewellProbe, preflight } from "./preflight.ts";
import { waitUntilReady } from "./ready.ts";
import { askNodes, asService, belongsToSystemd, enterAndServe } from "./systemd.ts";

/** `denim join`: brings this host into a cluster, with a token that one of its servers made. */
export const registerJoin: Register = (program, context) => {
  const command = program.command("join")
    .description("bring this host into a cluster")
    .argument("<host...>", "a server of the cluster, host or host:port; more than one to be sure")
    .addOption(tokenFileOption())
    .option("--replace <node>", "take the place of a node that is gone")
    .option("--foreground", "run the daemon here, in this process");
  addDaemonOptions(command).action(async (hosts: string[], given: DaemonFlags & JoinFlags) => {
    const flags = asService(command, given);
    const token = await askToken(context, flags.tokenFile);
    await preflight(context, flags, undefined);
    const way: Way = {
      kind: "join",
      addresses: hosts,
      token: () => Promise.resolve(token),
      replace: flags.replace,
      keepTrying: false,
    };
    if (belongsToSystemd(flags.foreground)) {
      const status = await enterAndServe(context, command, { flags, seeds: hosts, way });
      if (status.ready) await farewellProbe(context, flags);
      context.io.err(joinedText(status, await askNodes(flags)));
      return;
    }
    await runDaemon(context, {
      ...{ flags, seeds: hosts, way },
      onUp: async ({ service }) => {
        if (await waitUntilReady(service)) await farewellProbe(context, flags);
        context.io.err(joinedText(service.status(), await service.nodes("stale")));
      },
    });
  });
};

interface JoinFlags {
  readonly tokenFile?: string;
  readonly replace?: string;
  readonly foreground?: boolean;
}

export function tokenFileOption(): Option {
  return new Option("--token-file <path>", "read the token from a file; - for standard input")
    .env("DENIM_TOKEN_FILE");
}

/** The token of a file. Never from the command line, where every process can read it. */
export function readToken(path: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8").trim();
  } catch (cause) {
    throw new DenimError("USAGE", `Cannot read the token file ${path}`, {
      why: (cause as Error).message,
      cause,
    });
  }
}

/** From a file, from the environment, or typed. @throws `USAGE` */
export async function askToken(context: CommandContext, file: string | undefined): Promise<string> {
  const { io } = context;
  if (file !== undefined) return readToken(file);
  const fromEnvironment = io.env["DENIM_TOKEN"];
  if (fromEnvironment !== undefined) return fromEnvironment;
  return await ask("  token: ", {
    message: "A token is needed",
    fix: "give it with --token-file FILE or in DENIM_TOKEN; a server makes one: denim token create",
  });
}
