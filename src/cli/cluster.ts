import type { LevelView } from "../api/service.ts";
import { DenimError } from "../base/errors.ts";
import { addClientOptions, type ClientFlags, clientOf, print } from "./client.ts";
import type { Register } from "./command.ts";
import { addRecover } from "./recover.ts";

/** `denim cluster set voters|upgrade|recover|release-hold`. */
export const registerCluster: Register = (program, context) => {
  const cluster = program.command("cluster").description("the cluster as a whole");
  addRecover(cluster, context);
  const set = cluster.command("set").description("change how the cluster looks after itself");
  addClientOptions(
    set.command("voters").description("how many servers decide, where there are enough")
      .argument("<count>", "3 or 5"),
  ).action(async (count: string, flags: ClientFlags) => {
    const client = await clientOf(flags);
    const answer = await client.call("/v1/voters", {
      method: "PUT",
      body: JSON.stringify({ voters: Number(count) }),
      headers: { "content-type": "application/json" },
    }) as { voters: number };
    print(context, flags, answer, ({ voters }) => `The cluster aims for ${voters} voters.\n`);
  });
  addClientOptions(
    cluster.command("upgrade").description("what the nodes' programs support, and who is behind")
      .option("--finalize", "let the log have what every node supports; there is no way back"),
  ).action(async (flags: ClientFlags & { readonly finalize?: boolean }) => {
    const client = await clientOf(flags);
    const answer = flags.finalize
      ? await client.call("/v1/levels/finalize", { method: "POST" })
      : await client.call("/v1/levels?consistency=linearizable");
    print(context, flags, answer as LevelView, renderLevels);
  });
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

function renderLevels({ level, supported, newest, behind }: LevelView): string {
  const lines = [
    `feature level   ${level}`,
    `every node can  ${supported}`,
    ...behind.map(({ name, version, features }) =>
      `behind          ${name}, denim ${version}, supports up to ${features.max} of ${newest}`
    ),
    ...(supported > level ? ["raise it        denim cluster upgrade --finalize"] : []),
  ];
  return `${lines.join("\n")}\n`;
}

function risk(): DenimError {
  return new DenimError("USAGE", "Two hosts may come to use the same subnet", {
    why: "a host may hold a lease that the cluster does not know, and not have been heard yet",
    fix: "see that every host is there (denim node list), then: " +
      "denim cluster release-hold --accept-risk",
  });
}
