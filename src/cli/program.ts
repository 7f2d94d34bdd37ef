import { Command, CommanderError } from "commander";
import { asDenimError, DenimError, ERRORS } from "../base/errors.ts";
import { type CommandContext, ExitStatus, type Register } from "./command.ts";
import { registerBackend } from "./backend.ts";
import { registerBackup } from "./backup.ts";
import { registerCa } from "./ca.ts";
import { registerCleanup } from "./cleanup.ts";
import { registerCni } from "./cni.ts";
import { registerCluster } from "./cluster.ts";
import { registerCompletion } from "./completion.ts";
import { registerDemo } from "./demo.ts";
import { registerDoctor } from "./doctor.ts";
import { renderError, renderErrorJson } from "./output.ts";
import { registerEnv } from "./env.ts";
import { registerEvent } from "./event.ts";
import { flanneldWords, registerFlanneld } from "./flanneld.ts";
import { registerInit } from "./init.ts";
import { registerInstall } from "./install.ts";
import { registerJoin } from "./join.ts";
import { registerLease } from "./lease.ts";
import { registerLeave } from "./leave.ts";
import { registerMkDockerOpts } from "./mk-docker-opts.ts";
import { registerNetwork } from "./network.ts";
import { registerNode } from "./node.ts";
import { registerProbe } from "./probe.ts";
import { registerRejoin } from "./rejoin.ts";
import { registerRestore } from "./restore.ts";
import { registerRoute } from "./route.ts";
import { registerRun } from "./run.ts";
import { registerSelfTest } from "./self-test.ts";
import { registerStatus } from "./status.ts";
import { registerToken } from "./token.ts";
import { registerUninstall } from "./uninstall.ts";
import { registerVersion } from "./version.ts";
import { registerWait } from "./wait.ts";

/** Every command, in the order of `denim --help`. Each loads what it needs when it runs. */
const COMMANDS: readonly Register[] = [
  ...[registerInit, registerJoin, registerRun, registerRejoin, registerLeave],
  ...[registerStatus, registerNode, registerLease, registerRoute, registerNetwork],
  ...[registerDoctor, registerCleanup],
  ...[registerInstall, registerUninstall, registerWait, registerCni],
  ...[registerFlanneld, registerMkDockerOpts, registerEnv],
  ...[registerBackend, registerBackup, registerRestore],
  ...[
    registerCluster,
    registerEvent,
    registerToken,
    registerCa,
    registerDemo,
    registerCompletion,
    registerVersion,
  ],
  ...[registerSelfTest, registerProbe],
];

/** Runs one command line and resolves with the exit status. */
export async function run(
  parameters: readonly string[],
  context: CommandContext,
): Promise<number> {
  const { io } = context;
  try {
    const [name, ...typed] = parameters;
    const words = name === "flanneld"
      ? [name, ...(await flanneldWords(typed, context))]
      : parameters;
    await createProgram(context).parseAsync(words, { from: "user" });
    return 0;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    if (thrown instanceof ExitStatus) return thrown.status;
    const error = thrown instanceof CommanderError ? usage(thrown) : asDenimError(thrown);
    io.err(wantsJson(parameters, io.env) ? renderErrorJson(error) : renderError(error));
    if (error.code === "INTERNAL" && error.cause instanceof Error && io.env["DENIM_DEBUG"]) {
      io.err(`${error.cause.stack}\n`);
    }
    return ERRORS[error.code].exit;
  }
}

export function createProgram(context: CommandContext): Command {
  const { io } = context;
  const program = new Command("denim")
    .description("A flat container network from a single binary, with no etcd.")
    .version(context.version, "-V, --version")
    .helpCommand("help [COMMAND]", "show what a command does")
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: io.out,
      writeErr: io.err,
      // Said by `run`, in the form that all errors have.
      outputError: () => {},
    });
  for (const register of COMMANDS) register(program, context);
  return program;
}

function wantsJson(
  parameters: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  return parameters.includes("--json") || env["DENIM_OUTPUT"] === "json";
}

/** commander's words, as an error of ours. */
function usage(error: CommanderError): DenimError {
  const [message, hint] = error.message.replace(/^error: /, "").split("\n");
  if (error.code === "commander.help") {
    return new DenimError("USAGE", "A command is missing", { fix: "denim --help" });
  }
  return new DenimError("USAGE", `${message![0]!.toUpperCase()}${message!.slice(1)}`, {
    ...(hint === undefined ? {} : { why: hint.replace(/^\((.*)\)$/, "$1") }),
    fix: "denim --help shows what can be typed",
  });
}
