import process from "node:process";
import { addClientOptions, type ClientFlags, clientOf } from "./client.ts";
import type { Register } from "./command.ts";
import { plain } from "./output.ts";

/** `denim event`: what happens in the cluster, as it happens. */
export const registerEvent: Register = (program, context) => {
  addClientOptions(
    program.command("event").description("what happens in the cluster, until Ctrl-C")
      .option("--since <id>", "from this event on, as an earlier run showed it"),
  ).action(async (flags: ClientFlags & { readonly since?: string }) => {
    const client = await clientOf(flags);
    const stop = new AbortController();
    process.once("SIGINT", () => stop.abort()).once("SIGTERM", () => stop.abort());
    const query = flags.since === undefined ? "" : `?since=${encodeURIComponent(flags.since)}`;
    await client.events(`/v1/events${query}`, ({ name, id, data }) => {
      const json = JSON.parse(data) as { readonly key?: string; readonly revision?: string };
      context.io.out(
        flags.json
          ? `${JSON.stringify({ event: name, id, ...json })}\n`
          : `${(json.revision ?? "").padStart(8)}  ${name.padEnd(18)} ${plain(data)}\n`,
      );
    }, stop.signal);
  });
};
