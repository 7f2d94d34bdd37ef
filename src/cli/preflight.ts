/** What `denim doctor` looks at, also told by itself where a host comes in. */
import { asDenimError } from "../base/errors.ts";
import { systemClock } from "../base/clock.ts";
import { systemRandom } from "../base/random.ts";
import type { Finding } from "../doctor/finding.ts";
import { clientOf } from "./client.ts";
import type { CommandContext } from "./command.ts";
import { type DaemonFlags, settingsOf } from "./daemon-options.ts";

export interface Examination {
  readonly findings: readonly Finding[];
  /** A daemon answered, and is in a cluster. */
  readonly daemonRuns: boolean;
}

const PEERS_MAX = 3;
const ATTEMPTS = 3;

/** Looks at this host and changes nothing; `network` counts where no daemon knows one. */
export async function examineHost(
  { version }: CommandContext,
  flags: DaemonFlags,
  network: string | undefined,
): Promise<Examination> {
  const [{ gather, networksOf }, { examine }, { wishOf }, { LinuxKernel }] = await Promise.all([
    import("../doctor/gather.ts"),
    import("../doctor/checks.ts"),
    import("../agent/data/place.ts"),
    import("../kernel/linux-kernel.ts"),
  ]);
  const settings = settingsOf(flags, version, []);
  const { stateDir, socketPath, subnetFile, listen, apiPort, disk } = settings;
  await using kernel = await LinuxKernel.open();
  const facts = await gather({
    kernel: await kernel.read(),
    wish: wishOf(settings, undefined),
    networks: network === undefined ? [] : networksOf(network),
    ...{ stateDir, socketPath, subnetFile, listen, apiPort, diskLowBytes: disk.lowBytes },
    clock: systemClock(),
  });
  return { findings: examine(facts), daemonRuns: facts.daemon !== undefined };
}

/** Whether packets reach some of the peers, by the daemon that runs here. */
export async function examinePeers(flags: Pick<DaemonFlags, "socket">): Promise<Finding[]> {
  const { probePeers } = await import("../doctor/probe.ts");
  return await probePeers({
    client: await clientOf(flags),
    random: systemRandom(),
    clock: systemClock(),
    peersMax: PEERS_MAX,
    attempts: ATTEMPTS,
  });
}

/** Said before a host comes in. It keeps nobody out: what cannot work is refused where it fails. */
export async function preflight(
  context: CommandContext,
  flags: DaemonFlags,
  network: string | undefined,
): Promise<void> {
  await telling(context, async () => {
    const { findings } = await examineHost(context, flags, network);
    const { summary } = await import("../doctor/checks.ts");
    const bad = findings.filter(isBad);
    return [step(bad, "preflight", `${summary(findings)} (denim doctor)`), ...bad.flatMap(lines)];
  });
}

/** Said once it is in: routes that are in are not yet packets that arrive. */
export async function farewellProbe(context: CommandContext, flags: DaemonFlags): Promise<void> {
  await telling(context, async () => {
    const findings = await examinePeers(flags);
    const bad = findings.filter(isBad);
    const reached = findings.filter((finding) => !isBad(finding)).map(({ found }) => found);
    return [
      ...reached.map((found) => step([], "packets", found)),
      ...bad.flatMap(lines),
    ];
  });
}

function isBad({ result }: Finding): boolean {
  return result === "warning" || result === "failed";
}

function step(bad: readonly Finding[], name: string, text: string): string {
  return `  ${bad.length === 0 ? "✓" : "!"} ${name.padEnd(9)} ${text}`;
}

function lines({ check, found, why, fix }: Finding): string[] {
  return [
    `    ${check}: ${found}`,
    ...(why === undefined ? [] : [`      why: ${why}`]),
    ...(fix === undefined ? [] : [`      fix: ${fix}`]),
  ];
}

/** A look that fails is no reason to stay out. */
async function telling(
  { io }: CommandContext,
  look: () => Promise<readonly string[]>,
): Promise<void> {
  try {
    for (const line of await look()) io.err(`${line}\n`);
  } catch (error) {
    io.err(`  ! could not look at this host: ${asDenimError(error).message}\n`);
  }
}
