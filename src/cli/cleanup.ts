import { existsSync } from "node:fs";
import { Option } from "commander";
import { DEFAULT_SETTINGS } from "../agent/settings.ts";
import type { HookRecord } from "../agent/data/hook-record.ts";
import { systemClock } from "../base/clock.ts";
import { DenimError } from "../base/errors.ts";
import { parsePrefix, type Prefix } from "../ip/prefix.ts";
import { formatInvocation } from "../plan/hook.ts";
import type { Register } from "./command.ts";
import { confirm } from "./confirm.ts";
import { print } from "./client.ts";

/** Where runtimes look, and where it is by the docs' word. */
const CNI_CONFLIST = "/etc/cni/net.d/10-denim.conflist";

interface CleanupFlags {
  readonly commandsAllow: string;
  readonly stateDir: string;
  readonly subnetFile: string;
  readonly cniConflist: string;
  readonly network: readonly string[];
  readonly anyNetwork?: true;
  readonly dryRun?: true;
  readonly yes?: true;
  readonly json?: true;
}

interface Cleanup {
  /** What was removed, or would be, as commands. */
  readonly removed: readonly string[];
  /** What carries Denim's mark in other networks, and stays. */
  readonly elsewhere: readonly string[];
  readonly dryRun: boolean;
}

/** `denim cleanup`: takes away what a daemon that is gone has left on this host. */
export const registerCleanup: Register = (program, context) => {
  program.command("cleanup")
    .description("remove what carries Denim's mark from this host; no daemon may run")
    .addOption(
      new Option("--state-dir <dir>", "says which networks were programmed")
        .env("DENIM_STATE_DIR").default(DEFAULT_SETTINGS.stateDir),
    )
    .addOption(
      new Option("--subnet-file <path>", "what container runtimes read")
        .env("DENIM_SUBNET_FILE").default(DEFAULT_SETTINGS.subnetFile),
    )
    .addOption(
      new Option("--cni-conflist <path>", "what CNI runtimes read, where Denim has written it")
        .env("DENIM_CNI_CONFLIST").default(CNI_CONFLIST),
    )
    .addOption(
      new Option("--commands-allow <path>", "what this host runs to undo a backend's commands")
        .env("DENIM_COMMANDS_ALLOW").default(DEFAULT_SETTINGS.commandsAllow),
    )
    .option("--network <block>", "and this one; may be repeated", collect, [])
    .option("--any-network", "whatever carries Denim's mark")
    .option("--dry-run", "only show it")
    .option("--yes", "do not ask")
    .option("--json", "print one JSON document")
    .action(async (flags: CleanupFlags) => {
      await using kernel = await openKernel();
      await using filter = await openFilter();
      using unlocks = new DisposableStack();
      const { networks, record } = await meant(flags, unlocks);
      const { describeMarks, findMarks, removeMarks } = await import("../agent/data/cleanup.ts");
      const { subnetFile, cniConflist: conflist } = flags;
      const marks = await findMarks({ kernel, filter, networks, subnetFile, conflist });
      const removed = [...commandsOf(record), ...describeMarks(marks)];
      const dryRun = flags.dryRun === true;
      if (!dryRun && removed.length > 0) {
        await agreed(flags, removed.length);
        // They may go by links that are removed after them.
        const kept = await undone(record, flags.commandsAllow);
        await removeMarks({ kernel, filter }, marks);
        if (kept.length > 0) throw notUndone(kept, flags.commandsAllow);
      }
      print(context, flags, { removed, elsewhere: marks.elsewhere, dryRun }, render);
    });
};

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

async function openKernel() {
  const { LinuxKernel } = await import("../kernel/linux-kernel.ts");
  return await LinuxKernel.open();
}

async function openFilter() {
  const { LinuxPacketFilter } = await import("../kernel/linux-packet-filter.ts");
  return new LinuxPacketFilter();
}

/**
 * The networks of the state directory and of the command line. The directory stays locked: a daemon
 * would put everything back.
 *
 * @throws `STORE_LOCKED` `STORE_DAMAGED`
 */
async function meant(
  { stateDir, network, anyNetwork }: CleanupFlags,
  unlocks: DisposableStack,
): Promise<{ networks: readonly Prefix[] | "any"; record?: HookRecord }> {
  const { openOffline } = await import("../agent/entry/offline.ts");
  const given = network.map(parsePrefix);
  if (!existsSync(stateDir)) return { networks: anyNetwork ? "any" : given };
  const { identity } = unlocks.use(await openOffline(stateDir));
  const { networks = [] } = await identity.read("programmed") ?? {};
  const { HookRecord } = await import("../agent/data/hook-record.ts");
  const record = new HookRecord(identity);
  await record.load();
  return { networks: anyNetwork ? "any" : [...networks.map(parsePrefix), ...given], record };
}

/** What programs have added by this state directory is undone by these, as somebody would type them. */
function commandsOf(record: HookRecord | undefined): string[] {
  return [...record?.standing.values() ?? []].flatMap(({ remove }) =>
    remove === undefined ? [] : [formatInvocation(remove)]
  );
}

async function undone(record: HookRecord | undefined, allowed: string): Promise<string[]> {
  if (commandsOf(record).length === 0) return [];
  const [{ undoHooks }, { AllowList }, { HostPrograms }] = await Promise.all([
    import("../agent/data/hook-cleanup.ts"),
    import("../host/allow-list.ts"),
    import("../host/programs.ts"),
  ]);
  return await undoHooks(record!, new HostPrograms(new AllowList(allowed), systemClock()));
}

function notUndone(kept: readonly string[], allowed: string): DenimError {
  return new DenimError("COMMAND_FAILED", `${kept.length} commands of the backend failed`, {
    why: kept.slice(0, 3).join("; "),
    fix: `denim cleanup again, once they can be run; ${allowed} says which may be`,
  });
}

async function agreed({ yes }: CleanupFlags, count: number): Promise<void> {
  if (yes) return;
  await confirm({
    warning: `${count} things are removed, and containers of this host are cut off`,
    word: "cleanup",
    fix: "denim cleanup --yes, or look first: denim cleanup --dry-run",
  });
}

function render({ removed, elsewhere, dryRun }: Cleanup): string {
  const verb = dryRun ? "would be removed" : "removed";
  const lines = removed.length === 0
    ? ["Nothing here carries Denim's mark in these networks."]
    : [...removed.map((line) => `  ${line}`), `${removed.length} ${verb}.`];
  const more = elsewhere.length === 0 ? [] : [
    `${elsewhere.length} things of Denim are for other networks, and stay: ` +
    `${elsewhere.slice(0, 3).join("; ")}.`,
    "  to mean them, too: denim cleanup --network BLOCK, or --any-network",
  ];
  return `${[...lines, ...more].join("\n")}\n`;
}
