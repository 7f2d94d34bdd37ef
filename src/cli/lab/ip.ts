import { spawn } from "node:child_process";
import { DenimError } from "../../base/errors.ts";

/** What a command that has ended left behind. */
export interface Finished {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a program to its end, with `input` on its standard input. */
export function runProgram(
  program: string,
  parameters: readonly string[],
  options: {
    input?: string;
    env?: Readonly<Record<string, string | undefined>>;
    /** It is killed then. */
    timeoutMs?: number;
  } = {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, parameters, {
      stdio: ["pipe", "pipe", "pipe"],
      // A Ctrl-C is for the lab, which ends its programs in its own order.
      detached: true,
      ...(options.env === undefined ? {} : { env: options.env }),
      ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
      killSignal: "SIGKILL",
    });
    let [out, err] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => void (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => void (err += text));
    child.once("error", (cause: NodeJS.ErrnoException) => reject(notStarted(program, cause)));
    child.once("close", (status) => resolve({ status, out, err }));
    // A program that does not read its input may be gone before it is written.
    child.stdin.on("error", () => {});
    child.stdin.end(options.input ?? "");
  });
}

/** Runs `ip` with words that are separated by one blank. Rejects with what the kernel said. */
export async function ip(words: string): Promise<string> {
  return await runIp(words.split(" "), "");
}

/** Many commands of `ip` in one process, in a network namespace or in the own one. */
export async function ipBatch(lines: readonly string[], namespace?: string): Promise<void> {
  const place = namespace === undefined ? [] : ["-n", namespace];
  await runIp([...place, "-batch", "-"], `${lines.join("\n")}\n`);
}

async function runIp(parameters: readonly string[], input: string): Promise<string> {
  const { status, out, err } = await runProgram("ip", parameters, { input });
  if (status === 0) return out;
  const what = input === "" ? parameters.join(" ") : input.trim().replaceAll("\n", "; ");
  const why = err.trim().replaceAll("\n", "; ");
  const denied = /Operation not permitted|Permission denied/.test(why);
  throw new DenimError(denied ? "PERMISSION_DENIED" : "KERNEL_REJECTED", `Failed: ip ${what}`, {
    why,
    ...(denied ? { fix: "run it as root" } : {}),
  });
}

function notStarted(program: string, cause: NodeJS.ErrnoException): DenimError {
  const missing = cause.code === "ENOENT";
  return new DenimError("PLATFORM_UNSUPPORTED", `Cannot run "${program}"`, {
    why: missing ? "it is not installed, or not on the PATH" : cause.message,
    ...(missing && program === "ip" ? { fix: "apt-get install iproute2" } : {}),
    cause,
  });
}
