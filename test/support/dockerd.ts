/**
 * Debian's dockerd in a host of the lab: with files and a socket of its own, and with a view of its
 * own of the control groups, which are mounted differently from machine to machine.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Host } from "../../src/cli/lab/host.ts";
import { runProgram } from "../../src/cli/lab/ip.ts";
import { cannotLab, eventually } from "./lab.ts";

/** Why a test cannot have containers of Docker, or false. */
export const cannotDocker: string | false = cannotLab ||
  (["/usr/sbin/dockerd", "/usr/bin/containerd", "/bin/busybox"].every((path) => existsSync(path))
    ? false
    : "needs Debian's docker.io and busybox-static");

/** What {@link Dockerd.importBusybox} makes. */
export const IMAGE = "denim-busybox";

/** Version 1 of the control groups, as this dockerd wants them; gone with the last process. */
const IN_OWN_MOUNTS = `
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t tmpfs cgroup /sys/fs/cgroup
for name in cpu cpuacct cpuset memory devices freezer blkio pids; do
  mkdir /sys/fs/cgroup/$name
  mount -t cgroup -o $name cgroup /sys/fs/cgroup/$name
done
namespace=$1
shift
exec nsenter --net=/run/netns/$namespace "$@"`;

export class Dockerd {
  readonly #folder: string;
  readonly #child: ChildProcess;

  private constructor(folder: string, child: ChildProcess) {
    this.#folder = folder;
    this.#child = child;
  }

  /** Resolves when it answers. `options` are those of a unit's `ExecStart`. */
  static async start(host: Host, options: readonly string[]): Promise<Dockerd> {
    const folder = join(host.folder, "docker");
    mkdirSync(folder, { recursive: true });
    const log = openSync(join(folder, "log"), "a");
    const words = ["dockerd", ...placeIn(folder), "--storage-driver=vfs", ...options];
    const script = ["sh", "-ec", IN_OWN_MOUNTS, "dockerd", host.namespace, ...words];
    const child = spawn("unshare", ["--mount", ...script], {
      stdio: ["ignore", log, log],
      detached: true,
    });
    closeSync(log);
    const dockerd = new Dockerd(folder, child);
    await eventually(`dockerd on ${host.name}`, async () => {
      if (child.exitCode !== null) throw new Error(`dockerd ended:\n${dockerd.logTail()}`);
      return await dockerd.docker("version").then(() => true, () => undefined);
    });
    return dockerd;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** What its clients have to know. */
  get env(): Readonly<Record<string, string>> {
    return { DOCKER_HOST: `unix://${join(this.#folder, "sock")}`, DOCKER_CONFIG: this.#folder };
  }

  /** What the client prints; words are separated by one blank. */
  async docker(words: string): Promise<string> {
    const { status, out, err } = await runProgram("docker", words.split(" "), {
      env: { ...process.env, ...this.env },
    });
    if (status === 0) return out.trim();
    throw new Error(`docker ${words} ended with ${status}: ${err.trim()}`);
  }

  /** An image with Debian's static busybox and nothing else. */
  async importBusybox(): Promise<void> {
    const tar = join(this.#folder, "busybox.tar");
    await runProgram("tar", ["-c", "-f", tar, "-C", "/", "bin/busybox"]);
    await this.docker(`import ${tar} ${IMAGE}`);
  }

  /** A container that does nothing, and ends by itself should nobody end it. */
  async runIdle(name: string, more = ""): Promise<void> {
    await this.docker(`run -d --name ${name} ${more}${IMAGE} /bin/busybox sleep 600`);
  }

  /** Together with its containers. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    const ids = await this.docker("ps -q").catch(() => "");
    if (ids !== "") await this.docker(`rm -f ${ids.replaceAll("\n", " ")}`).catch(() => {});
    this.#child.kill("SIGTERM");
    await ended;
  }

  logTail(): string {
    return readFileSync(join(this.#folder, "log"), "utf8").split("\n").slice(-12).join("\n");
  }
}

function placeIn(folder: string): string[] {
  return [
    `--data-root=${join(folder, "data")}`,
    `--exec-root=${join(folder, "exec")}`,
    `--pidfile=${join(folder, "pid")}`,
    `--host=unix://${join(folder, "sock")}`,
  ];
}
