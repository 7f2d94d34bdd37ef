import { existsSync, lstatSync, readdirSync, realpathSync, type Stats, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import process from "node:process";
import { DenimError } from "../../base/errors.ts";

/** A backend from the disk: its folder has the name that network configs know it by. */
export interface BackendFolder {
  readonly name: string;
  /** Absolute, and whatever is above the folder is no link. */
  readonly path: string;
  /** The file that exports it, absolute. */
  readonly entry: string;
}

const ENTRIES = ["mod.ts", "mod.js", "mod.mjs"] as const;

/** Whoever has more has put something else there, too. */
const FILES_MAX = 2_000;

const [GROUP_WRITES, OTHERS_WRITE, STICKY] = [0o020, 0o002, 0o1000];

/** @throws `NOT_FOUND` where a folder has no backend in it */
export function backendAt(path: string): BackendFolder {
  const folder = findEntry(resolve(path));
  if (folder !== undefined) return folder;
  throw new DenimError("NOT_FOUND", `There is no backend in ${path}`, {
    why: `it has no ${ENTRIES.join(", ")}`,
    fix: "denim backend new NAME makes one to begin with",
  });
}

/** The backend of that name, which has no path in it; `undefined`: there is none. */
export function findBackend(dir: string, name: string): BackendFolder | undefined {
  return /^[a-z0-9-]+$/.test(name) ? findEntry(resolve(dir, name)) : undefined;
}

/** All of them, by name. A directory that is not there has none. */
export function listBackends(dir: string): BackendFolder[] {
  if (!existsSync(dir)) return [];
  return readdirSync(dir).sort().map((name) => findEntry(resolve(dir, name)))
    .filter((folder) => folder !== undefined);
}

/** What is above the folder may be a link: it leads to a place that is looked at as any other. */
function findEntry(given: string): BackendFolder | undefined {
  const isThere = ENTRIES.some((file) => existsSync(join(given, file)));
  if (!isThere) return undefined;
  const name = basename(given);
  const path = join(realpathSync(dirname(given)), name);
  return { name, path, entry: ENTRIES.map((file) => join(path, file)).find(existsSync)! };
}

/**
 * Its code runs with the daemon's rights: nobody else may have had a hand in it. The folder, all
 * that is in it and everything above it belong to root, and others cannot write there.
 *
 * @throws `BACKEND_FAILED`, which names the file
 */
export function requireOwned({ name, path }: BackendFolder): void {
  for (let above = dirname(path);; above = dirname(above)) {
    // In a sticky directory nobody can take away what is root's.
    const stats = statSync(above);
    if ((stats.mode & STICKY) === 0 || !isOurs(stats)) requireOwn(name, above, stats);
    if (above === "/") break;
  }
  let files = 0;
  const look = (at: string) => {
    const stats = lstatSync(at);
    if (++files > FILES_MAX) throw refused(name, at, `there are more than ${FILES_MAX} files`);
    if (stats.isSymbolicLink()) throw refused(name, at, "it is a link to some other place");
    requireOwn(name, at, stats);
    if (stats.isDirectory()) { for (const file of readdirSync(at)) look(join(at, file)); }
  };
  look(path);
}

function requireOwn(name: string, path: string, stats: Stats): void {
  const { uid, mode } = stats;
  if (!isOurs(stats)) throw refused(name, path, `it belongs to the user ${uid}, and not to root`);
  const who = mode & OTHERS_WRITE ? "everybody" : mode & GROUP_WRITES ? "its group" : undefined;
  if (who === undefined) return;
  throw refused(name, path, `${who} can write to it (mode ${(mode & 0o7777).toString(8)})`);
}

function isOurs({ uid }: Stats): boolean {
  return uid === 0 || uid === process.getuid?.();
}

function refused(name: string, path: string, why: string): DenimError {
  return new DenimError("BACKEND_FAILED", `The backend "${name}" is not loaded`, {
    why: `${path}: ${why}, and its code would run as root`,
    fix: `look at what is in it; then: chown -R root:root ${path} && chmod -R go-w ${path}`,
  });
}
