import { readFileSync } from "node:fs";
import process from "node:process";
import { Option } from "commander";
import { DenimError } from "../base/errors.ts";
import type { CommandContext, Register } from "./command.ts";
import { addDaemonOptions, type DaemonFlags } from "./daemon-options.ts";
import { runDaemon } from "./daemon.ts";
import { waitUntilReady } from "./ready.ts";
import { refuseDetached } from "./systemd.ts";

/** `denim join`: brings this host into a cluster, with a token that one of its servers made. */
export const registerJoin: Register = (program, context) => {
  const command = program.command("join")
    .description("bring this host into a cluster")
    .argument("<host...>", "a server of the cluster, host or host:port; more than one to be sure")
    .addOption(tokenFileOption())
    .option("--replace <node>", "take the place of a node that is gone")
    .option("--foreground", "run the daemon here, in this process");
  addDaemonOptions(command).action(async (hosts: string[], flags: DaemonFlags & JoinFlags) => {
    refuseDetached(flags.foreground);
    const token = await askToken(context, flags.tokenFile);
    await runDaemon(context, {
      flags,
      seeds: hosts,
      way: {
        kind: "join",
        addresses: hosts,
        token: () => Promise.resolve(token),
        replace: flags.replace,
        keepTrying: false,
      },
      onUp: async ({ service }) => {
        const ready = await waitUntilReady(service);
        const { node, lease, role, dataPlane } = service.status();
        const routes = dataPlane.routes["ok"] ?? 0;
        context.io.err(
          `  ✓ lease     ${lease.subnets.join(", ")} · ${routes} routes programmed\n` +
            `${node.name} is ${ready ? "in" : "in, but not ready yet"} (${role}).\n`,
        );
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

async function askToken(context: CommandContext, file: string | undefined): Promise<string> {
  const { io } = context;
  if (file !== undefined) return readToken(file);
  const fromEnvironment = io.env["DENIM_TOKEN"];
  if (fromEnvironment !== undefined) return fromEnvironment;
  if (!process.stdin.isTTY) {
    throw new DenimError("USAGE", "A token is needed to join", {
      why: "there is no terminal to ask at",
      fix:
        "give it with --token-file FILE or in DENIM_TOKEN; a server makes one: denim token create",
    });
  }
  const { createInterface } = await import("node:readline/promises");
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await prompt.question("  token: ");
  } finally {
    prompt.close();
  }
}
