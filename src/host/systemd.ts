import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { DenimError } from "../base/errors.ts";

const run = promisify(execFile);

/** `sd_booted(3)`: whether systemd is what runs this host. */
export function systemdRuns(): boolean {
  return existsSync("/run/systemd/system");
}

/**
 * Has systemd do something, in the words of `systemctl(1)`.
 *
 * @returns what it said
 * @throws `SYSTEMD_FAILED`
 */
export async function systemctl(...words: readonly string[]): Promise<string> {
  try {
    return (await run("systemctl", [...words], { encoding: "utf8" })).stdout.trim();
  } catch (cause) {
    const { stderr, message } = cause as Error & { readonly stderr?: string };
    throw new DenimError("SYSTEMD_FAILED", `systemctl ${words.join(" ")} failed`, {
      why: (stderr || message).trim().split("\n").join(" "),
      cause,
    });
  }
}

/** A property of a unit, as `systemctl show` has it: empty for one that is not loaded. */
export async function unitProperty(unit: string, property: string): Promise<string> {
  return await systemctl("show", "--value", `--property=${property}`, unit);
}
