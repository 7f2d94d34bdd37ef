import type { Command } from "commander";
import { Option } from "commander";
import type { MemberView, Recovered, RemainsView } from "../agent/entry/recovering.ts";
import { DEFAULT_SETTINGS } from "../agent/settings.ts";
import { confirmByName } from "./confirm.ts";
import { print } from "./client.ts";
import type { CommandContext } from "./command.ts";

export interface OfflineFlags {
  readonly stateDir: string;
  readonly json?: boolean;
}

interface RecoverFlags extends OfflineFlags {
  readonly inspect?: boolean;
  readonly confirm?: string;
}

/** Flags of every command that works on a stopped daemon's files. */
export function addOfflineOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--state-dir <dir>", "identity and store").env("DENIM_STATE_DIR")
        .default(DEFAULT_SETTINGS.stateDir),
    )
    .option("--json", "print one JSON document");
}

/** `denim cluster recover`: offline, for a cluster whose majority is gone for good. */
export function addRecover(cluster: Command, context: CommandContext): void {
  addOfflineOptions(
    cluster.command("recover")
      .description("go on from this host alone, where most voters are gone for good (offline)")
      .option("--inspect", "only show what this host has; nothing is changed")
      .option("--confirm <name>", "the cluster's name, where nobody is there to type it"),
  ).action(async (flags: RecoverFlags) => {
    const [{ openOffline }, { inspectRemains, recoverCluster }] = await Promise.all([
      import("../agent/entry/offline.ts"),
      import("../agent/entry/recovering.ts"),
    ]);
    using offline = await openOffline(flags.stateDir);
    const remains = await inspectRemains(offline);
    if (flags.inspect) return print(context, flags, remains, renderRemains);
    context.io.err(renderRemains(remains) + renderLoss(remains));
    await confirmByName(remains.cluster.name, flags.confirm);
    const recovered = await recoverCluster(offline, remains);
    print(context, flags, { ...remains, recovered }, () => renderNext(remains, recovered));
  });
}

function renderRemains(remains: RemainsView): string {
  const { node, cluster, log, applied, time, voters, standbys, nodes, leases, hold } = remains;
  const part = node.role === "none" ? "neither voter nor standby" : node.role;
  const rows = [
    ["this host", `${node.name}, ${part}`],
    ["cluster", `${cluster.name} · epoch ${cluster.epoch.n}${hold ? ", on hold" : ""}`],
    ["log", `ends at term ${log.term}, index ${log.index}; ${applied} is applied`],
    ["last word", time ?? "unknown"],
    ["voters", namesOf(voters)],
    ["standbys", namesOf(standbys)],
    ["knows", `${nodes} nodes, ${leases} leases`],
    ["CA key", remains.caKey ? "here" : "not here: no host can be let in from this one"],
  ] as const;
  return rows.map(([name, text]) => `  ${name.padEnd(10)} ${text}\n`).join("");
}

function renderLoss({ node, log, voters, caKey }: RemainsView): string {
  const dropped = voters.filter(({ id }) => id !== node.id);
  return [
    "",
    dropped.length === 0
      ? "No other voter is dropped."
      : `Dropped: ${namesOf(dropped)}. What only they had beyond index ${log.index} is lost.`,
    "What this host alone has counts from now on, also where it was not known to be committed.",
    "Look at every other survivor first (denim cluster recover --inspect): the greatest term,",
    "then the greatest index, has most.",
    ...(caKey ? [] : ["Without the CA key the cluster can let nobody in, and nobody stand by."]),
    "",
  ].join("\n");
}

function renderNext({ node, voters }: RemainsView, { epoch, hold }: Recovered): string {
  const dropped = voters.filter(({ id }) => id !== node.id);
  return [
    `Epoch ${epoch.n} begins on this host. The cluster is on hold: hosts have back what they had,`,
    `and nothing is given out before ${new Date(hold.untilWallMs).toISOString()}.`,
    "",
    "Next:",
    "  here                 systemctl start denim, or: denim run",
    ...(dropped.length === 0 ? [] : [
      "  other servers        stop the daemon if it runs, then: denim rejoin HOST, this host for HOST",
    ]),
    "  agents               come by themselves, after a minute without a leader",
    "  when all are there   denim cluster release-hold --accept-risk",
    "",
  ].join("\n");
}

function namesOf(members: readonly MemberView[]): string {
  return members.map(({ name }) => name).join(", ") || "none";
}
