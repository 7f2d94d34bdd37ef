import { existsSync, lstatSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import type { Clock } from "../../base/clock.ts";
import { type LabNames, type Leftovers, NAMES_FOLDER, removeLeftovers } from "../lab/leftovers.ts";

const RUN = /^(denim-demo-([0-9]+)-)/;

/**
 * Removes what earlier runs left whose process was killed, and so could not do it: everything that
 * carries the id of a process which is no more.
 */
export async function removeDeadRuns(own: LabNames, clock: Clock): Promise<readonly Leftovers[]> {
  const place = dirname(own.folder);
  const folders = namesIn(place).filter((name) => isMine(join(place, name)));
  const prefixes = [...folders, ...namesIn(NAMES_FOLDER)].flatMap((name) => {
    const [, prefix, pid] = RUN.exec(name) ?? [];
    return prefix === undefined || isAlive(Number(pid)) ? [] : [prefix];
  });
  const removed: Leftovers[] = [];
  for (const prefix of new Set(prefixes)) {
    const folder = folders.find((name) => name.startsWith(prefix)) ?? `${prefix}none`;
    removed.push(await removeLeftovers({ prefix, folder: join(place, folder) }, clock));
  }
  return removed;
}

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).filter((name) => RUN.test(name)) : [];
}

/** Anybody can put any name into a folder for temporary files. */
function isMine(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === process.getuid?.();
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
