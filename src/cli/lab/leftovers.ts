/**
 * What a lab has put on the machine, found again by name alone: so the same code cleans up after
 * this run, after a set-up that failed half-way and after a run that was killed.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { type Clock, sleep } from "../../base/clock.ts";
import { sendSignal } from "./signal.ts";

/** Where iproute2 keeps the names of network namespaces. */
export const NAMES_FOLDER = "/run/netns";

export interface LabNames {
  /** The first part of every namespace's name; ends with a dash. */
  readonly prefix: string;
  /** Everything on disk is in here. */
  readonly folder: string;
}

export interface Leftovers {
  readonly namespaces: readonly string[];
  /** `namespace/name`, without the loopback that every namespace has. */
  readonly links: readonly string[];
  /** Whatever runs inside of those namespaces. */
  readonly processes: readonly number[];
  /** The folder, while it exists. */
  readonly folders: readonly string[];
}

export function findLeftovers({ prefix, folder }: LabNames): Leftovers {
  const names = existsSync(NAMES_FOLDER) ? readdirSync(NAMES_FOLDER) : [];
  const namespaces = names.filter((name) => name.startsWith(prefix)).sort();
  return {
    namespaces,
    links: namespaces.flatMap(linksIn),
    processes: namespaces.flatMap(processesIn),
    folders: existsSync(folder) ? [folder] : [],
  };
}

export function isClean(found: Leftovers): boolean {
  return Object.values(found).every((list) => list.length === 0);
}

/** Removes everything and resolves with what there was. */
export async function removeLeftovers(names: LabNames, clock: Clock): Promise<Leftovers> {
  const found = findLeftovers(names);
  const ended = new Set(found.processes);
  const endMs = clock.monotonicMs() + 5_000;
  // A process may have been starting another one while it was killed.
  for (let left = found.processes; left.length > 0 && clock.monotonicMs() < endMs;) {
    left.forEach((pid) => sendSignal(pid, "SIGKILL"));
    await sleep(clock, 10);
    left = found.namespaces.flatMap(processesIn);
    left.forEach((pid) => ended.add(pid));
  }
  removeNames(found.namespaces);
  rmSync(names.folder, { recursive: true, force: true });
  return { ...found, processes: [...ended] };
}

/** The same without waiting: for the moment in which this process ends. */
export function removeLeftoversNow(names: LabNames): void {
  const { namespaces, processes } = findLeftovers(names);
  processes.forEach((pid) => sendSignal(pid, "SIGKILL"));
  removeNames(namespaces);
  rmSync(names.folder, { recursive: true, force: true, maxRetries: 5 });
}

/** iproute2 makes the folder of names a mount of its own when the first name is made. */
export function hasNamesFolder(): boolean {
  return existsSync(NAMES_FOLDER);
}

/** Undoes that, unless somebody else has a name there. */
export function removeNamesFolder(): void {
  try {
    if (readdirSync(NAMES_FOLDER).length > 0) return;
    spawnSync("umount", [NAMES_FOLDER], { stdio: "ignore" });
    rmdirSync(NAMES_FOLDER);
  } catch {
    // It is in use again, or gone.
  }
}

function removeNames(namespaces: readonly string[]): void {
  if (namespaces.length === 0) return;
  const input = namespaces.map((name) => `netns del ${name}\n`).join("");
  spawnSync("ip", ["-force", "-batch", "-"], { input, stdio: ["pipe", "ignore", "ignore"] });
}

function processesIn(namespace: string): number[] {
  const { stdout } = spawnSync("ip", ["netns", "pids", namespace], { encoding: "utf8" });
  return (stdout ?? "").split("\n").filter(Boolean).map(Number);
}

function linksIn(namespace: string): string[] {
  const { stdout } = spawnSync("ip", ["-n", namespace, "-j", "link"], { encoding: "utf8" });
  const links = JSON.parse(stdout || "[]") as { ifname: string }[];
  return links.map(({ ifname }) => ifname).filter((name) => name !== "lo")
    .map((name) => `${namespace}/${name}`);
}
