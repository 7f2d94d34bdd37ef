import type { Restored, RestorePlan } from "../agent/entry/restoring.ts";
import type { Backup } from "../store/backup.ts";
import { confirmByName } from "./confirm.ts";
import { readBackup, renderBackup } from "./backup.ts";
import { print } from "./client.ts";
import type { Register } from "./command.ts";
import { addPassphraseOption, passphraseOf } from "./passphrase.ts";
import { addOfflineOptions, type OfflineFlags } from "./recover.ts";

interface RestoreFlags extends OfflineFlags {
  readonly as?: string;
  readonly replaceStore?: boolean;
  readonly newCa?: boolean;
  readonly passphraseFile?: string;
  readonly confirm?: string;
}

const NO_PASSPHRASE = "give the passphrase with --passphrase-file FILE or in DENIM_PASSPHRASE; " +
  "if it is lost: --new-ca";

/** `denim restore FILE`: offline, for a cluster of which no server is left. */
export const registerRestore: Register = (program, context) => {
  addPassphraseOption(addOfflineOptions(
    program.command("restore")
      .description("form the cluster anew from a backup, on this host (offline)")
      .argument("<file>", "what denim backup wrote")
      .option("--as <node>", "the server whose place this host takes, where it has no identity")
      .option("--replace-store", "set the store aside that is here")
      .option("--new-ca", "make a new CA, though there is a key; every node then needs a token")
      .option("--confirm <name>", "the cluster's name, where nobody is there to type it"),
  )).action(async (file: string, flags: RestoreFlags) => {
    const [{ openOffline }, { planRestore, restoreCluster }, { decodeBackup }] = await Promise.all([
      import("../agent/entry/offline.ts"),
      import("../agent/entry/restoring.ts"),
      import("../store/backup.ts"),
    ]);
    const backup = decodeBackup(readBackup(file));
    using offline = await openOffline(flags.stateDir, { make: true });
    const { as, replaceStore = false, newCa = false } = flags;
    const plan = await planRestore(offline, backup, { as, replaceStore, newCa });
    context.io.err(renderBackup(file, backup.manifest) + renderPlan(backup, plan));
    const passphrase = plan.ca === "backup"
      ? await passphraseOf(context, flags.passphraseFile, NO_PASSPHRASE)
      : undefined;
    await confirmByName(backup.manifest.cluster.name, flags.confirm);
    const restored = await restoreCluster(offline, backup, plan, passphrase);
    const { node, ca, servers } = plan;
    const answer = { node, ca, servers, ...restored, aside: restored.aside ?? null };
    print(context, flags, answer, () => renderNext(plan, restored));
  });
};

const CA_TEXTS: Readonly<Record<RestorePlan["ca"], string>> = {
  here: "this host has its key: nodes come back by the certificates that they have",
  backup: "its key is in the backup: nodes come back by the certificates that they have",
  new: "a new one is made: every other node comes back by a token",
};

function renderPlan({ manifest: { time } }: Backup, plan: RestorePlan): string {
  const { node, record, hasStore, ca } = plan;
  return [
    `  this host  ${node.name}${record === undefined ? ", whose place it takes" : ""}`,
    `  CA         ${CA_TEXTS[ca]}`,
    ...(hasStore ? ["  store      the one that is here is set aside"] : []),
    "",
    `What happened after ${time} is undone; hosts that are up claim the`,
    "leases that they have. Who was removed since is a member again (denim node rm), and every",
    "token is gone.",
    "",
  ].join("\n");
}

function renderNext({ node, ca, servers }: RestorePlan, { epoch, hold }: Restored): string {
  const back = ca === "new"
    ? [
      "  each other node      here: denim token create --uses N; there, with the daemon stopped:",
      "                       denim rejoin HOST --with-token, this host for HOST",
    ]
    : [
      ...(servers.length === 0 ? [] : [
        "  other servers        with the daemon stopped: denim rejoin HOST, this host for HOST",
      ]),
      "  agents               come by themselves, after a minute without a leader",
    ];
  return [
    `Epoch ${epoch.n} begins on ${node.name}. The cluster is on hold: hosts have back what they`,
    `had, and nothing is given out before ${new Date(hold.untilWallMs).toISOString()}.`,
    "",
    "Next:",
    "  here                 systemctl start denim, or: denim run",
    ...back,
    "  when all are there   denim cluster release-hold --accept-risk",
    "",
  ].join("\n");
}
