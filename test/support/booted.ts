/**
 * A host of a lab that systemd runs: a container (`systemd-nspawn --boot`) in the host's network
 * namespace, with this machine's own `/usr`, read-only, and everything else empty. It is up after
 * some seconds, and needs no mirror.
 */
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { systemClock } from "../../src/base/clock.ts";
import type { Host } from "../../src/cli/lab/host.ts";
import { runProgram } from "../../src/cli/lab/ip.ts";
import { waitFor } from "../../src/cli/lab/wait.ts";
import { cannotLab, type Said } from "./lab.ts";
import type { Test } from "./tap.ts";

const clock = systemClock();
const BOOT_MS_MAX = 90_000;
const STOP_MS_MAX = 30_000;

/** Where a container of ours may be; not below `/tmp`, of which it has its own. */
const FOLDER = "/var/tmp";

/** Why a test cannot have a booted host, or false. */
export function cannotBoot(...programs: readonly string[]): string | false {
  const missing = ["/usr/bin/systemd-nspawn", "/usr/bin/systemctl", ...programs]
    .filter((path) => !existsSync(path));
  return cannotLab ||
    (missing.length === 0
      ? false
      : `needs ${missing.join(", ")} (Debian: systemd-container, docker.io)`);
}

export interface BootOptions {
  /** Files of this machine, where they are to be in the container. */
  readonly files?: Readonly<Record<string, string>>;
  /** `/usr` can be written to, and dpkg knows what is in it: neither reaches this machine. */
  readonly installs?: boolean;
}

export class Booted {
  readonly root: string;
  readonly #init: number;

  private constructor(root: string, init: number) {
    this.root = root;
    this.#init = init;
  }

  /** Until the test's end. */
  static async boot(t: Test, host: Host, options: BootOptions = {}): Promise<Booted> {
    const root = mkdtempSync(join(FOLDER, "denim-booted-"));
    const folders = [root];
    // One callback: not every runner takes the last one first.
    let ending = () => Promise.resolve();
    const removeFolders = () => {
      for (const folder of folders) rmSync(folder, { recursive: true, force: true });
    };
    t.teardown(async () => {
      await ending();
      removeFolders();
    });
    furnish(root, options);
    const usr = usrOf(options, folders);
    const log: string[] = [];
    const child = spawn("systemd-nspawn", [
      ...[
        "--quiet",
        "--boot",
        "--register=no",
        "--keep-unit",
        "--link-journal=no",
        "--resolv-conf=off",
      ],
      ...["--directory", root, "--machine", basename(root), usr],
      ...[`--network-namespace-path=/run/netns/${host.namespace}`],
      "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
    ], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, SYSTEMD_NSPAWN_API_VFS_WRITABLE: "network" },
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => log.push(String(chunk)));
    }
    // A test that is ended by its runner has no teardown; the container goes with its maker.
    const atExit = () => {
      child.kill("SIGKILL");
      removeFolders();
    };
    process.once("exit", atExit);
    const ended = new Promise<void>((resolve) =>
      child.once("exit", () => {
        process.off("exit", atExit);
        resolve();
      })
    );
    ending = () => stop(child, ended);
    return await waitFor("systemd is up", { clock, timeoutMs: BOOT_MS_MAX }, async () => {
      if (child.exitCode !== null) throw new Error(`no boot: ${log.join("").slice(-2_000)}`);
      // The first one only makes the container, and is gone when there is one.
      const init = childOf(child.pid!);
      if (init === undefined) return undefined;
      const booted = new Booted(root, init);
      const { out } = await booted.type("systemctl", "is-system-running");
      return /^(running|degraded)$/.test(out.trim()) ? booted : undefined;
    });
  }

  /** Runs a command line in the container, to its end or for two minutes. */
  async type(...words: readonly string[]): Promise<Said> {
    return await this.typeWith({}, ...words);
  }

  async typeWith(
    env: Readonly<Record<string, string>>,
    ...words: readonly string[]
  ): Promise<Said> {
    const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    const options = { env: { PATH: path, HOME: "/root", ...env }, timeoutMs: 120_000 };
    return await runProgram("nsenter", ["-t", String(this.#init), "-a", ...words], options);
  }

  /** The same, for what has to work. */
  async does(...words: readonly string[]): Promise<string> {
    const { status, out, err } = await this.type(...words);
    if (status !== 0) throw new Error(`${words.join(" ")}: ${status} ${out}${err}`);
    return out.trim();
  }

  /** One property of a unit: `ActiveState`, `MainPID`. */
  async show(unit: string, property: string): Promise<string> {
    return await this.does("systemctl", "show", "--value", `--property=${property}`, unit);
  }
}

/** This machine's programs, as they are or below what is written over them. */
function usrOf({ installs }: BootOptions, folders: string[]): string {
  if (!installs) return "--bind-ro=/usr";
  const upper = mkdtempSync(join(FOLDER, "denim-usr-"));
  folders.push(upper);
  chmodSync(upper, 0o755);
  return `--overlay=/usr:${upper}:/usr`;
}

function furnish(root: string, { files = {}, installs = false }: BootOptions): void {
  for (const folder of ["etc/systemd/system/multi-user.target.wants", "usr", "var", "root"]) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  for (const name of readdirSync("/")) {
    if (
      lstatSync(join("/", name)).isSymbolicLink() && readlinkSync(join("/", name)).startsWith("usr")
    ) {
      symlinkSync(readlinkSync(join("/", name)), join(root, name));
    }
  }
  for (const name of ["passwd", "group", "nsswitch.conf", "ld.so.cache", "os-release"]) {
    if (existsSync(`/etc/${name}`)) copyFileSync(`/etc/${name}`, join(root, "etc", name));
  }
  copyAlternatives(join(root, "etc/alternatives"));
  // Without it dockerd asks a name server for localhost, for ten seconds.
  writeFileSync(join(root, "etc/hosts"), "127.0.0.1 localhost\n::1 localhost\n");
  // With one this is no first boot, at which every unit of this machine would be enabled.
  writeFileSync(join(root, "etc/machine-id"), `${"d".repeat(32)}\n`);
  for (const unit of UNWANTED) symlinkSync("/dev/null", join(root, "etc/systemd/system", unit));
  for (const [path, source] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    copyFileSync(source, join(root, path));
  }
  if (installs) cpSync("/var/lib/dpkg", join(root, "var/lib/dpkg"), { recursive: true });
}

/** What an empty machine does not need; some of it would wait for what it cannot have. */
const UNWANTED = [
  ...["getty.target", "systemd-logind.service", "dbus.service", "dbus.socket"],
  ...["systemd-networkd.service", "systemd-networkd.socket"],
  ...["systemd-networkd-wait-online.service", "systemd-resolved.service"],
  ...["systemd-timesyncd.service", "systemd-udevd.service"],
];

/** `iptables` is a name that leads through here. */
function copyAlternatives(to: string): void {
  mkdirSync(to);
  for (const name of readdirSync("/etc/alternatives")) {
    const path = join("/etc/alternatives", name);
    if (lstatSync(path).isSymbolicLink()) symlinkSync(readlinkSync(path), join(to, name));
  }
}

function childOf(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    return text === "" ? undefined : Number(text.split(" ")[0]);
  } catch {
    return undefined;
  }
}

/** An orderly end; a container that takes too long for it is killed. */
async function stop(child: ChildProcess, ended: Promise<void>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  const late = new Promise<void>((resolve) => setTimeout(resolve, STOP_MS_MAX).unref());
  await Promise.race([ended, late]);
  child.kill("SIGKILL");
  await ended;
}
