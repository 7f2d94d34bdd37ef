import type { Command } from "commander";
import { Option } from "commander";
import { DEFAULT_SETTINGS } from "../agent/settings.ts";
import type { ApiClient } from "../api/client.ts";
import type { CommandContext } from "./command.ts";
import { renderJson } from "./output.ts";

/** Flags of every command that asks the daemon. */
export interface ClientFlags {
  readonly socket: string;
  readonly json?: boolean;
}

export function addClientOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--socket <path>", "where the daemon answers").env("DENIM_SOCKET")
        .default(DEFAULT_SETTINGS.socketPath),
    )
    .option("--json", "print one JSON document");
}

export async function clientOf(flags: ClientFlags): Promise<ApiClient> {
  const { ApiClient } = await import("../api/client.ts");
  return new ApiClient(flags.socket);
}

/** The answer as JSON where that is asked for, else as text for people. */
export function print<Answer>(
  context: CommandContext,
  flags: Pick<ClientFlags, "json">,
  answer: Answer,
  text: (answer: Answer) => string,
): void {
  const json = flags.json === true || context.io.env["DENIM_OUTPUT"] === "json";
  context.io.out(json ? renderJson(answer) : text(answer));
}
