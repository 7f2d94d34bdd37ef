import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import process from "node:process";
import { DenimError } from "../../base/errors.ts";
import { runProgram } from "../lab/ip.ts";
import { ownProgram } from "../lab/self.ts";
import { sendSignal } from "../lab/signal.ts";
import { forward } from "./forward.ts";
import { makeNames, outsideSocketIn, readSocketIn } from "./names.ts";

/** Namespaces of the network can be made by this process, or by one in a user namespace. */
export type Place = "here" | "user-namespace";

/**
 * In a user namespace a plain user may do to namespaces of the network what root does to the
 * machine's. The names of network namespaces are files below /run, which there gets a file system
 * of its own. A network of its own is needed because iproute2 goes back to the one that it came
 * from, which only works where that one belongs to the same user namespace.
 */
const ENTER = ["--user", "--map-root-user", "--mount", "--net"];
const PREPARE = "mount -t tmpfs denim-demo /run && ";

/** Finds out by trying, where nothing is left of it. Rejects with `PERMISSION_DENIED` and what to type instead. */
export async function findPlace(parameters: readonly string[]): Promise<Place> {
  const attempt = ["sh", "-c", `${PREPARE}ip netns add try && ip netns exec try true`];
  const here = await runProgram("unshare", ["--mount", ...attempt]);
  if (here.status === 0) return "here";
  const iproute = await runProgram("ip", ["-V"]);
  const there = await runProgram("unshare", [...ENTER, ...attempt]);
  if (iproute.status === 0 && there.status === 0) return "user-namespace";
  const isRoot = process.getuid?.() === 0;
  const typed = ["sudo", ...ownProgram(), "demo", ...parameters].join(" ");
  throw new DenimError("PERMISSION_DENIED", "This machine lets nobody but root make networks", {
    why: `without root: ${lastLine(there.err)}${isRoot ? `; as root: ${lastLine(here.err)}` : ""}`,
    fix: isRoot
      ? "run it where root has all rights: a container needs --privileged"
      : `type this: ${typed}`,
  });
}

/**
 * Runs the demo once more, in a user namespace, and resolves with its exit status. What has to be
 * outside stays in this process: the port where the API is offered, and the way back to it.
 */
export async function playInUserNamespace(
  parameters: readonly string[],
  apiPort: number | undefined,
): Promise<number> {
  const { folder } = makeNames();
  try {
    await using api = await forward({ port: apiPort }, { path: readSocketIn(folder) });
    await using _back = await forward({ path: outsideSocketIn(folder) }, { port: api.port });
    const more = ["--api-port", String(api.port), "--inside", folder];
    return await runInside([...ownProgram(), "demo", ...parameters, ...more]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function runInside(command: readonly string[]): Promise<number> {
  const child = spawn("unshare", [...ENTER, "sh", "-c", `${PREPARE}exec "$@"`, "sh", ...command], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  // A terminal sends Ctrl-C to both, another program to this one only; twice is as good as once.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => sendSignal(child.pid!, signal));
  }
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (status) => resolve(status ?? 1));
  });
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) || "not allowed";
}
