/**
 * A host of the lab where what the docs say can be typed as it stands: `denim` is on the PATH, the
 * hosts know each other by name, and the folders that Denim and container runtimes write to are the
 * host's own, and whoever looks for a process finds the host's. Namespaces of mounts, names,
 * processes and network, held by one idle process.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, copyFileSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import type { Host } from "../../src/cli/lab/host.ts";
import { type Finished, runProgram } from "../../src/cli/lab/ip.ts";
import type { Program } from "../../src/cli/lab/self.ts";
import { sendSignal } from "../../src/cli/lab/signal.ts";
import { Dockerd } from "./dockerd.ts";
import { eventually } from "./lab.ts";

/** What is written there is a host's own. */
const OWN_FOLDERS = ["etc", "opt", "root", "run", "usr", "var"];

const APART = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child"];

/** What goes on after its prompt is back only where systemd has taken it over. */
const DAEMON = /^denim (init|join|run|flanneld)\b/;

/** What is still running then does not end by itself. */
const COMMAND_S = 120;

export class DocHost {
  readonly host: Host;
  readonly #holder: ChildProcess;
  /** The process that everything of the host ends with. */
  readonly #place: string;
  readonly #docker: Dockerd | undefined;
  readonly #daemons: ChildProcess[] = [];

  private constructor(
    host: Host,
    { holder, place }: { readonly holder: ChildProcess; readonly place: string },
    docker: Dockerd | undefined,
  ) {
    this.host = host;
    this.#holder = holder;
    this.#place = place;
    this.#docker = docker;
  }

  static async start(
    host: Host,
    denim: Program,
    { usesDocker }: { readonly usesDocker: boolean },
  ): Promise<DocHost> {
    const folder = join(host.folder, "doc");
    const bin = join(folder, "bin");
    mkdirSync(bin, { recursive: true });
    const words = denim.map((word) => `'${word}'`).join(" ");
    writeFileSync(join(bin, "denim"), `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
    // Files go from one host's /root to another's; how they would is nothing of Denim's.
    const home = `${dirname(host.folder)}/$host/doc/root`;
    writeFileSync(join(bin, "scp"), `#!/bin/sh\nhost=\${2%%:*}\ncp "$1" "${home}"\n`, {
      mode: 0o755,
    });
    writeFileSync(join(folder, "hosts"), "127.0.0.1 localhost\n");
    const layers = OWN_FOLDERS.map((name) => {
      const [upper, work] = [`${folder}/${name}`, `${folder}/${name}.work`];
      const where = `lowerdir=/${name},upperdir=${upper},workdir=${work}`;
      return `mkdir -p ${upper} ${work}; mount -t overlay -o ${where} overlay /${name}`;
    });
    const script = [
      "mount -t proc proc /proc",
      // Links are looked for there, too.
      "mount -t sysfs sysfs /sys",
      ...layers,
      // Whatever runs the machine does not run this host.
      "rm -rf /run/systemd",
      `mount --bind ${folder}/hosts /etc/hosts`,
      `hostname ${host.name}`,
      "echo ready",
      "exec sleep 600",
    ].join("\n");
    const holder = spawn(
      "nsenter",
      [`--net=/run/netns/${host.namespace}`, ...APART, "sh", "-ec", script],
      { stdio: ["ignore", "pipe", "ignore"], detached: true },
    );
    await new Promise<void>((resolve, reject) => {
      holder.stdout!.once("data", () => resolve());
      holder.once("exit", (status) => reject(new Error(`no place to type in: ${status}`)));
    });
    // What is typed goes to where this one has led its child.
    const place = readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, "utf8").trim();
    return new DocHost(
      host,
      { holder, place },
      usesDocker ? await Dockerd.start(host, []) : undefined,
    );
  }

  /** Who the others are. The file is one that every process has open by its path. */
  introduce(hosts: readonly DocHost[]): void {
    const lines = hosts.map(({ host }) => `${host.address} ${host.name}\n`).join("");
    writeFileSync(join(this.host.folder, "doc", "hosts"), `127.0.0.1 localhost\n${lines}`);
  }

  /** Puts a file where people type: `/root`. */
  give(path: string): void {
    copyFileSync(path, join(this.host.folder, "doc", "root", basename(path)));
  }

  /** Runs what is typed; a daemon until it is ready, everything else to its end. */
  async type(text: string): Promise<Finished> {
    return DAEMON.test(text) ? await this.#startDaemon(text) : await this.#run(text);
  }

  async stop(): Promise<void> {
    await this.#docker?.stop();
    for (const child of [...this.#daemons, this.#holder]) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      sendSignal(child.pid!, child === this.#holder ? "SIGKILL" : "SIGTERM");
      await ended;
    }
  }

  async #run(text: string): Promise<Finished> {
    const words = ["--kill-after=5", String(COMMAND_S), ...this.#inside(text)];
    return await runProgram("timeout", words, { env: this.#env });
  }

  async #startDaemon(text: string): Promise<Finished> {
    const path = join(this.host.folder, `daemon-${this.#daemons.length}.log`);
    const log = openSync(path, "a");
    const [program, ...words] = this.#inside(`exec ${text}`) as [string, ...string[]];
    const child = spawn(program, words, {
      stdio: ["ignore", log, log],
      detached: true,
      env: this.#env,
    });
    closeSync(log);
    this.#daemons.push(child);
    const said = () => readFileSync(path, "utf8");
    await eventually(`"${text}" is ready on ${this.host.name}`, async () => {
      if (child.exitCode !== null) throw new Error(`"${text}" ended: ${said()}`);
      const { status, out } = await this.#run("denim status --json");
      return status === 0 && (JSON.parse(out) as { ready: boolean }).ready ? true : undefined;
    }, COMMAND_S * 1000);
    return { status: 0, out: said(), err: "" };
  }

  #inside(text: string): string[] {
    const enter = ["nsenter", `--target=${this.#place}`, "--mount", "--uts", "--net", "--pid"];
    // Its own --wd would be the machine's /root: it is opened before the host is entered.
    return [...enter, "sh", "-c", `cd /root\n${text}`];
  }

  get #env(): Record<string, string | undefined> {
    const PATH = `${join(this.host.folder, "doc", "bin")}:${process.env["PATH"]}`;
    // Several hosts share one disk here.
    return { ...process.env, PATH, HOME: "/root", DENIM_BALLAST: "0", ...this.#docker?.env };
  }
}
