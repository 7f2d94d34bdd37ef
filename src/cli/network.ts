import { readFileSync } from "node:fs";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { Register } from "./command.ts";
import { networkText } from "./daemon-options.ts";

interface Answer {
  readonly config: unknown;
  readonly text: string;
  readonly revision: string;
  readonly warnings: readonly string[];
}

/** `denim network show|set`. */
export const registerNetwork: Register = (program, context) => {
  const network = program.command("network").description("the network config, as flannel's JSON");
  addClientOptions(network.command("show", { isDefault: true }).description("as it is now"))
    .action(async (flags: ClientFlags) => {
      const answer = await (await clientOf(flags)).call("/v1/network") as Answer;
      print(context, flags, answer, render);
    });
  addClientOptions(
    network.command("set").description("replace it")
      .argument("<network>", "block, JSON, a file with JSON, or - for standard input")
      .option("--revision <n>", "only when it is still at this revision"),
  ).action(async (given: string, flags: ClientFlags & { readonly revision?: string }) => {
    const text = given === "-" ? readFileSync(0, "utf8") : networkText(given);
    const answer = await (await clientOf(flags)).call("/v1/network", {
      method: "PUT",
      body: text,
      headers: { "if-match": flags.revision === undefined ? "*" : `"${flags.revision}"` },
    }) as Answer;
    print(context, flags, answer, render);
  });
};

function render({ config, revision, warnings }: Answer): string {
  return [
    JSON.stringify(config, null, 2),
    `revision ${revision}`,
    ...warnings.map((warning) => `warning: ${warning}`),
    "",
  ].join("\n");
}
