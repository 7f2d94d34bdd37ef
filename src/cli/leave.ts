import process from "node:process";
import { createInterface } from "node:readline/promises";
import { DenimError } from "../base/errors.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { Register } from "./command.ts";

/** `denim leave`: this host goes; its subnet is free at once. */
export const registerLeave: Register = (program, context) => {
  addClientOptions(
    program.command("leave")
      .description("leave the cluster: free the subnet, take routes and identity away")
      .option("--yes", "do not ask"),
  ).action(async (flags: ClientFlags & { readonly yes?: boolean }) => {
    if (!flags.yes) await confirm();
    const client = await clientOf(flags);
    const answer = await client.call("/v1/leave", { method: "POST" }) as { subnets: string[] };
    print(
      context,
      flags,
      answer,
      ({ subnets }) => `This host has left; ${subnets.join(", ") || "no subnet"} is free again.\n`,
    );
  });
};

async function confirm(): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new DenimError("USAGE", "Leaving cuts this host's containers off", {
      fix: "say that you mean it: denim leave --yes",
    });
  }
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await prompt.question(
    "This host's containers lose their network. Type leave to go on: ",
  );
  prompt.close();
  if (answer.trim() !== "leave") throw new DenimError("CANCELLED", "Nothing was changed");
}
