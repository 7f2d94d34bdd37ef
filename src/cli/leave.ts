import type { LeaveView } from "../api/service.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { Register } from "./command.ts";
import { confirm } from "./confirm.ts";
import { plain } from "./output.ts";

interface LeaveFlags extends ClientFlags {
  readonly keepLease?: boolean;
  readonly yes?: boolean;
}

/** `denim leave`: this host goes; its subnet is free at once, or kept for its name. */
export const registerLeave: Register = (program, context) => {
  addClientOptions(
    program.command("leave")
      .description("leave the cluster: free the subnet, take routes and identity away")
      .option("--keep-lease", "set the subnet aside for this host's name, for when it joins again")
      .option("--yes", "do not ask"),
  ).action(async (flags: LeaveFlags) => {
    if (!flags.yes) {
      await confirm({
        warning: "Leaving cuts this host's containers off",
        word: "leave",
        fix: "denim leave --yes",
      });
    }
    const client = await clientOf(flags);
    const path = `/v1/leave${flags.keepLease ? "?keepLease=true" : ""}`;
    const answer = await client.call(path, { method: "POST" }) as LeaveView;
    const what = flags.keepLease ? "is set aside for it" : "is free again";
    print(
      context,
      flags,
      answer,
      ({ subnets, stays = [] }) =>
        `This host has left; ${subnets.join(", ") || "no subnet"} ${what}.\n` +
        stays.map((one) => `! stays here: ${plain(one)}\n`).join(""),
    );
  });
};
