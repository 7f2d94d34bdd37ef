import { asDenimError, DenimError, isDenimError } from "../base/errors.ts";
import type { Finding, Setting } from "../doctor/finding.ts";
import { print } from "./client.ts";
import type { CommandContext, Register } from "./command.ts";
import { addDaemonOptions, type DaemonFlags, networkText } from "./daemon-options.ts";
import { renderTable } from "./output.ts";
import { examineHost, examinePeers } from "./preflight.ts";

interface DoctorFlags extends DaemonFlags {
  readonly network?: string;
  readonly fix?: true;
  readonly json?: true;
}

interface Diagnosis {
  readonly ok: boolean;
  readonly findings: readonly Finding[];
  /** Settings that were changed, until the next start of this machine. */
  readonly changed: readonly Setting[];
  /** Settings that this user, or this kernel, may not change, and why. */
  readonly refused: readonly string[];
}

/** `denim doctor`: what keeps containers from talking, why, and what to type. */
export const registerDoctor: Register = (program, context) => {
  const command = program.command("doctor")
    .description("what keeps containers from talking, why, and what to type")
    .option("--network <network>", "a network to be, where no daemon runs: block, JSON or file")
    .option("--fix", "change the settings of this host that are safe to change")
    .option("--json", "print one JSON document");
  addDaemonOptions(command).action(async (flags: DoctorFlags) => {
    const before = await diagnose(context, flags);
    const { changed, refused } = await repair(flags.fix ? before : []);
    const findings = changed.length === 0 ? before : await diagnose(context, flags);
    const ok = findings.every(({ result }) => result !== "failed");
    const { summary } = await import("../doctor/checks.ts");
    print(
      context,
      flags,
      { ok, findings, changed, refused },
      (diagnosis) => render(diagnosis, summary(findings), context.io.widthMax),
    );
    if (ok) return;
    throw new DenimError("CHECKS_FAILED", `${summary(findings)}`, {
      fix: "each failed check says what to do",
    });
  });
};

async function diagnose(context: CommandContext, flags: DoctorFlags): Promise<Finding[]> {
  const network = flags.network === undefined ? undefined : networkText(flags.network);
  const { findings, daemonRuns } = await examineHost(context, flags, network);
  return [...findings, ...(daemonRuns ? await reach(flags) : [])];
}

async function reach(flags: DoctorFlags): Promise<Finding[]> {
  try {
    return await examinePeers(flags);
  } catch (error) {
    if (!isDenimError(error, "PERMISSION_DENIED")) throw error;
    const fix = "run it as root";
    const found = "whether packets arrive could not be tried";
    return [{ check: "reach", result: "note", found, why: "it takes CAP_NET_RAW", fix }];
  }
}

/** One after the other: what is refused is said, and the others are tried. */
async function repair(
  findings: readonly Finding[],
): Promise<Pick<Diagnosis, "changed" | "refused">> {
  const { writeSetting } = await import("../host/sysctl.ts");
  const [changed, refused]: [Setting[], string[]] = [[], []];
  for (const setting of findings.flatMap(({ settings = [] }) => settings)) {
    try {
      writeSetting(setting.path, setting.value);
      changed.push(setting);
    } catch (error) {
      const { message, why } = asDenimError(error);
      refused.push(why === undefined ? message : `${message}: ${why}`);
    }
  }
  return { changed, refused };
}

function render(
  { findings, changed, refused }: Diagnosis,
  sums: string,
  widthMax?: number,
): string {
  const table = renderTable<Finding>(
    [
      { title: "CHECK", text: ({ check }) => check },
      { title: "RESULT", text: ({ result }) => result === "failed" ? "FAILED" : result },
      { title: "FOUND", text: ({ found }) => found, shrinks: true },
    ],
    findings,
    widthMax,
  );
  const more = findings.filter(({ result }) => result !== "ok").map(({ check, why, fix }) =>
    [
      `${check}:${why === undefined ? "" : ` ${why}`}`,
      ...(fix === undefined ? [] : [`  fix: ${fix}`]),
    ].join("\n")
  );
  const set = changed.map(({ path, value }) => `set ${path} to ${value}`);
  return `${[table.trimEnd(), "", ...more, ...set, ...refused, sums].join("\n")}\n`;
}
