import { existsSync } from "node:fs";
import { Option } from "commander";
import { DEFAULT_SETTINGS } from "../agent/settings.ts";
import { parsePrefix, type Prefix } from "../ip/prefix.ts";
import type { Register } from "./command.ts";
import { confirm } from "./confirm.ts";
import { print } from "./client.ts";

/** Where runtimes look, and where it is by the docs' word. */
const CNI_CONFLIST = "/etc/cni/net.d/10-denim.conflist";

interface CleanupFlags {
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
    .option("--network <block>", "and this one; may be repeated", collect, [])
    .option("--any-network", "whatever carries Denim's mark")
    .option("--dry-run", "only show it")
    .option("--yes", "do not ask")
    .option("--json", "print one JSON document")
    .action(async (flags: CleanupFlags) => {
      await using kernel = await openKernel();
      await using filter = await openFilter();
      using unlocks = new DisposableStack();
      const networks = await meant(flags, unlocks);
      const { describeMarks, findMarks, removeMarks } = await import("../agent/data/cleanup.ts");
      const { subnetFile, cniConflist: conflist } = flags;
      const marks = await findMarks({ kernel, filter, networks, subnetFile, conflist });
      const removed = describeMarks(marks);
      const dryRun = flags.dryRun === true;
      if (!dryRun && removed.length > 0) {
        await agreed(flags, removed.length);
        await removeMarks({ kernel, filter }, marks);
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
): Promise<readonly Prefix[] | "any"> {
  const { openOffline } = await import("../agent/entry/offline.ts");
  const given = network.map(parsePrefix);
  if (!existsSync(stateDir)) return anyNetwork ? "any" : given;
  const { identity } = unlocks.use(await openOffline(stateDir));
  const record = await identity.read("programmed");
  return anyNetwork ? "any" : [...(record?.networks ?? []).map(parsePrefix), ...given];
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
