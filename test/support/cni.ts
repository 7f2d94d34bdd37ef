/** A container runtime, as far as CNI goes: Debian's own plugins, run on hosts of a lab. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Host } from "../../src/cli/lab/host.ts";
import { ipBatch, runProgram } from "../../src/cli/lab/ip.ts";
import { cannotLab } from "./lab.ts";

/** Where Debian has them. */
export const PLUGINS = "/usr/lib/cni";

export const cannotCni: string | false = cannotLab ||
  (existsSync(`${PLUGINS}/bridge`) ? false : "needs Debian's containernetworking-plugins");

export interface PluginSaid {
  readonly status: number | null;
  /** What it printed, read as JSON; `undefined` for nothing. */
  readonly answer: Record<string, unknown> | undefined;
}

export interface Addresses {
  readonly ips: readonly { readonly address: string; readonly gateway: string }[];
}

export class Runtime {
  readonly #host: Host;
  /** Folders of plugins, with colons between. */
  readonly #path: string;
  /** What plugins remember: of this host alone, although hosts share a file system here. */
  readonly #memory: string;

  constructor(host: Host, path = PLUGINS) {
    this.#host = host;
    this.#path = path;
    this.#memory = join(host.folder, "cni");
    for (const name of ["own", "work"]) mkdirSync(join(this.#memory, name), { recursive: true });
  }

  /** The network namespace of a container, with nothing in it. */
  async makeContainer(name: string): Promise<string> {
    const namespace = `${this.#host.namespace}-${name}`;
    await ipBatch([`netns add ${namespace}`]);
    return namespace;
  }

  /** One plugin, once (https://www.cni.dev/docs/spec/). */
  async plugin(
    command: string,
    config: Readonly<Record<string, unknown>> & { readonly type?: unknown },
    namespace: string,
    more: Readonly<Record<string, string>> = {},
  ): Promise<PluginSaid> {
    const path = this.#path.split(":").map((folder) => join(folder, String(config.type)))
      .find((candidate) => existsSync(candidate))!;
    const layers = `lowerdir=/var/lib,upperdir=${this.#memory}/own,workdir=${this.#memory}/work`;
    const own = 'mount -t overlay -o "$0" overlay /var/lib && exec "$@"';
    const { status, out } = await runProgram("ip", [
      ...["netns", "exec", this.#host.namespace, "sh", "-c", own, layers, path],
    ], {
      input: JSON.stringify(config),
      env: {
        PATH: process.env["PATH"],
        CNI_COMMAND: command,
        CNI_CONTAINERID: namespace,
        CNI_NETNS: `/run/netns/${namespace}`,
        CNI_IFNAME: "eth0",
        CNI_PATH: this.#path,
        ...more,
      },
      timeoutMs: 60_000,
    });
    return { status, answer: out.trim() === "" ? undefined : JSON.parse(out) };
  }

  /** A whole list, each plugin with the answer of the one before; DEL in the opposite order. */
  async list(command: "ADD" | "CHECK" | "DEL", text: string, namespace: string, before?: unknown) {
    const { name, cniVersion, plugins } = JSON.parse(text) as {
      name: string;
      cniVersion: string;
      plugins: { type: string }[];
    };
    let prevResult = before;
    for (const plugin of command === "DEL" ? plugins.toReversed() : plugins) {
      const config = { ...plugin, name, cniVersion, ...(prevResult ? { prevResult } : {}) };
      const { status, answer } = await this.plugin(command, config, namespace);
      if (status !== 0) throw new Error(`${plugin.type} ${command}: ${JSON.stringify(answer)}`);
      if (command === "ADD") prevResult = answer;
    }
    return prevResult as Addresses;
  }
}

/** Whether a container reaches an address: three tries. */
export async function reaches(namespace: string, address: string): Promise<boolean> {
  const words = ["netns", "exec", namespace, "ping", "-c", "1", "-W", "2", address.split("/")[0]!];
  for (let i = 0; i < 3; i++) if ((await runProgram("ip", words)).status === 0) return true;
  return false;
}
