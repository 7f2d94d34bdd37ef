import { DenimError } from "../base/errors.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { Register } from "./command.ts";

/** `denim cluster release-hold`. */
export const registerCluster: Register = (program, context) => {
  const cluster = program.command("cluster").description("the cluster as a whole");
  addClientOptions(
    cluster.command("release-hold")
      .description("give out subnets again before a hold is over")
      .option("--accept-risk", "every host that is in use has been seen to claim its subnet"),
  ).action(async (flags: ClientFlags & { readonly acceptRisk?: boolean }) => {
    if (!flags.acceptRisk) throw risk();
    const client = await clientOf(flags);
    const answer = await client.call("/v1/hold/release", { method: "POST" }) as {
      readonly claimed: number;
      readonly unclaimed: number;
    };
    print(
      context,
      flags,
      answer,
      ({ claimed, unclaimed }) =>
        `The hold is over: ${claimed} leases go on, ${unclaimed} end unless they are claimed.\n`,
    );
  });
};

function risk(): DenimError {
  return new DenimError("USAGE", "Two hosts may come to use the same subnet", {
    why: "a host may hold a lease that the cluster does not know, and not have been heard yet",
    fix: "see that every host is there (denim node list), then: " +
      "denim cluster release-hold --accept-risk",
  });
}
