import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { DenimError } from "../base/errors.ts";
import type { Family } from "../ip/address.ts";
import { readSavedTable, type SavedTable, type Table } from "../plan/iptables.ts";

/**
 * A host may have the tables of two kernels' interfaces at once, each with its own programs; both
 * filter every packet. The plain name is one of the two, and comes first.
 */
const NAMES: Readonly<Record<Family, readonly string[]>> = {
  4: ["iptables", "iptables-nft", "iptables-legacy"],
  6: ["ip6tables", "ip6tables-nft", "ip6tables-legacy"],
};

/** Which tables the older interface has: asking its program for one would make it. */
const LEGACY_TABLES: Readonly<Record<Family, string>> = {
  4: "/proc/thread-self/net/ip_tables_names",
  6: "/proc/thread-self/net/ip6_tables_names",
};

/** As kube-proxy waits for the lock that all programs of the older interface share, seconds. */
const LOCK_WAIT_S = 5;

/** Nobody waits longer for a program that hangs. */
const PROGRAM_MS = 15_000;

/** One of the host's iptables programs, for one address family. */
export class Iptables {
  readonly name: string;
  readonly family: Family;
  readonly #isLegacy: boolean;

  /** In use, and nobody is told when its rules change. */
  get isSilent(): boolean {
    return this.#isLegacy && this.#legacyTables().some((table) => table !== "");
  }

  private constructor(name: string, family: Family, isLegacy: boolean) {
    this.name = name;
    this.family = family;
    this.#isLegacy = isLegacy;
  }

  /** Those that this host has, one for each interface of the kernel; none is fine. */
  static async find(family: Family): Promise<readonly Iptables[]> {
    const found: Iptables[] = [];
    for (const name of NAMES[family].filter(isInstalled)) {
      const version = await run(name, ["-V"]).catch(() => undefined);
      if (version === undefined) continue;
      const isLegacy = !version.includes("nf_tables");
      if (found.some((other) => other.#isLegacy === isLegacy)) continue;
      found.push(new Iptables(name, family, isLegacy));
    }
    return found;
  }

  /** @throws `KERNEL_REJECTED` with the program's own words */
  async save(table: Table): Promise<SavedTable> {
    const exists = !this.#isLegacy || this.#legacyTables().includes(table);
    return readSavedTable(exists ? await run(`${this.name}-save`, ["-t", table]) : "");
  }

  /** One transaction for each table in the script. @throws `KERNEL_REJECTED` */
  async restore(script: string): Promise<void> {
    const words = ["--noflush", "-w", String(LOCK_WAIT_S)];
    await run(`${this.name}-restore`, words, script);
  }

  #legacyTables(): readonly string[] {
    try {
      return readFileSync(LEGACY_TABLES[this.family], "utf8").split("\n");
    } catch {
      return [];
    }
  }
}

/** Services often have a PATH without the folders of administrators' programs. */
const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;

function isInstalled(program: string): boolean {
  return PATH.split(":").some((folder) => folder !== "" && existsSync(join(folder, program)));
}

/** What a program prints. @throws `KERNEL_REJECTED` where it fails, or is not there */
function run(program: string, words: readonly string[], input = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) =>
      reject(new DenimError("KERNEL_REJECTED", `${program} failed`, { why }));
    const env = { ...process.env, PATH };
    const child = spawn(program, words, { env, timeout: PROGRAM_MS, killSignal: "SIGKILL" });
    let [out, err] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => void (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => void (err += text));
    child.once("error", (error) => fail(error.message));
    child.once("close", (status) => {
      if (status === 0) resolve(out);
      else fail(complaintIn(err) || `it ended with status ${status}`);
    });
    // One that fails at once does not read what it is told.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

/** On one line, without the program's name and version and the advice to read its help. */
function complaintIn(text: string): string {
  const line = text.trim().replaceAll(/\s+/g, " ");
  return line.replace(/^\S+ v[0-9.]+( \(\w+\))?: /, "").replace(/(Error occurred at|Try `).*/, "")
    .trim();
}
