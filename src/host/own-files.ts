import { readFileSync, readlinkSync, rmdirSync, rmSync, symlinkSync } from "node:fs";
import { dirname } from "node:path";
import { DenimError } from "../base/errors.ts";
import { fileError, makeFolder, writeFileAtomic } from "./files.ts";

/** A file that Denim puts among those of others: its text has the mark by which it is known. */
export interface OwnFile {
  readonly path: string;
  readonly text: string;
}

/** Another name for `target`. */
export interface OwnLink {
  readonly path: string;
  readonly target: string;
}

const FILE_MODE = 0o644;

/** Refuses before anything is written. @throws `FILE_NOT_OURS` `PERMISSION_DENIED` */
export function checkOwn(files: readonly (OwnFile | OwnLink)[], mark: string): void {
  for (const file of files) {
    const link = linkIfAny(file.path);
    const isOurs = "target" in file
      ? link === file.target || (link === undefined && readIfAny(file.path) === undefined)
      : link === undefined && (readIfAny(file.path) ?? mark).includes(mark);
    if (!isOurs) throw notOurs(file.path);
  }
}

/**
 * Writes them, where nobody else's are. What is there already, as it should be, stays.
 *
 * @returns the paths of what has changed
 * @throws `FILE_NOT_OURS`, `PERMISSION_DENIED`, `STORE_FAILED`
 */
export async function putOwn(
  files: readonly (OwnFile | OwnLink)[],
  mark: string,
): Promise<string[]> {
  checkOwn(files, mark);
  const changed: string[] = [];
  for (const file of files) {
    if ("target" in file ? linkIfAny(file.path) === file.target : isThere(file)) continue;
    makeFolder(dirname(file.path));
    if ("target" in file) makeLink(file);
    else await writeFileAtomic(file.path, file.text, { mode: FILE_MODE });
    changed.push(file.path);
  }
  return changed;
}

/**
 * Takes away what carries the mark; anything else of that name stays.
 *
 * @returns whether it was ours
 * @throws `PERMISSION_DENIED`
 */
export function removeOwnFile(path: string, mark: string): boolean {
  const isOurs = linkIfAny(path) === undefined && readIfAny(path)?.includes(mark) === true;
  if (isOurs) remove(path);
  return isOurs;
}

/** The same for a link, which is ours if it leads there. */
export function removeOwnLink({ path, target }: OwnLink): boolean {
  const isOurs = linkIfAny(path) === target;
  if (isOurs) remove(path);
  return isOurs;
}

/** A folder in which nothing is left; one with something in it stays. */
export function removeEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!["ENOENT", "ENOTEMPTY", "ENOTDIR", "EBUSY"].includes(code)) {
      throw fileError(error, `Cannot remove ${path}`);
    }
  }
}

/** The text of a file; `undefined` when there is none. @throws `PERMISSION_DENIED` */
export function readIfAny(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw fileError(error, `Cannot read ${path}`);
  }
}

function isThere({ path, text }: OwnFile): boolean {
  return readIfAny(path) === text;
}

function makeLink({ path, target }: OwnLink): void {
  try {
    symlinkSync(target, path);
  } catch (error) {
    throw fileError(error, `Cannot make ${path}`);
  }
}

function remove(path: string): void {
  try {
    rmSync(path);
  } catch (error) {
    throw fileError(error, `Cannot remove ${path}`);
  }
}

function linkIfAny(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "EINVAL" || code === "ENOTDIR") return undefined;
    throw fileError(error, `Cannot read ${path}`);
  }
}

function notOurs(path: string): DenimError {
  return new DenimError("FILE_NOT_OURS", `${path} was not written by Denim`, {
    why: "somebody else's file of that name would be lost",
    fix: `look at it, and move it away if nobody needs it: mv ${path} ${path}.old`,
  });
}
