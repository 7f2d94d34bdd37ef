/** Programs of other people, tried where they can do no harm. */
import { existsSync } from "node:fs";
import process from "node:process";
import { type Finished, runProgram } from "../../src/cli/lab/ip.ts";

/** Why a test cannot have a sandbox with this file of a Debian package in it, or false. */
export function cannotSandbox(path: string, debianPackage: string): string | false {
  if (process.getuid?.() !== 0) return "needs root for namespaces";
  return existsSync(path) ? false : `needs Debian's ${debianPackage}`;
}

/** Where programs leave things: what is written there is gone with the sandbox. */
const LAYERED = "etc opt var/lib";

const SET_UP = `mount -t tmpfs none /run
for place in ${LAYERED}; do
  mkdir -p /run/layers/$place/upper /run/layers/$place/work
  layers=upperdir=/run/layers/$place/upper,workdir=/run/layers/$place/work
  mount -t overlay -o lowerdir=/$place,$layers none /$place
done
ip link set lo up
`;

/**
 * Runs a shell script in namespaces of its own for links, mounts and processes: what it starts ends
 * with it, and what it writes outside of `/tmp` is seen by nobody else.
 */
export async function inSandbox(script: string, timeoutMs = 120_000): Promise<Finished> {
  const flags = ["--net", "--mount", "--propagation=private", "--pid", "--fork", "--mount-proc"];
  const words = [...flags, "--kill-child", "sh", "-ec", `${SET_UP}${script}`];
  return await runProgram("unshare", words, { timeoutMs });
}
