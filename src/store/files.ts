import { chmod, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DenimError } from "../base/errors.ts";

/**
 * The few small files of a node's identity, as text: the port under {@link IdentityFolder}. Drivers:
 * `diskFiles`, and the simulator's disk.
 */
export interface Files {
  /** The text of a file, `undefined` when there is none. */
  read(path: string): Promise<string | undefined>;
  /** On disk, whole or not at all, when it resolves. */
  write(path: string, text: string): Promise<void>;
  /** A file, or a folder with all that is in it; fine when there is none. */
  remove(path: string): Promise<void>;
}

/** The real ones. Each throws `PERMISSION_DENIED`, `DISK_FULL` or `STORE_FAILED`. */
export const diskFiles: Files = { read: readText, write: writeText, remove: removePath };

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw fileError(`Cannot read ${path}`, error);
  }
}

/**
 * Replaces a file as a whole, readable by its owner only: after a crash there is the old text or
 * the new one. Needs both syncs: of the bytes before the rename, of the folder after it. One
 * writer per file at a time.
 */
async function writeText(path: string, text: string): Promise<void> {
  const folder = dirname(path);
  const draft = join(folder, `.${path.slice(folder.length + 1)}.new`);
  try {
    await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
    await chmod(folder, FOLDER_MODE);
    await rm(draft, { force: true });
    await using file = await open(draft, "wx", FILE_MODE);
    await file.writeFile(text);
    await file.sync();
    await rename(draft, path);
    await syncFolder(folder);
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {});
    throw fileError(`Cannot write ${path}`, error);
  }
}

async function removePath(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
    await syncFolder(dirname(path));
  } catch (error) {
    throw fileError(`Cannot remove ${path}`, error);
  }
}

export async function syncFolder(path: string): Promise<void> {
  try {
    await using folder = await open(path, "r");
    await folder.sync();
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

export function isMissing(error: unknown): boolean {
  return codeOf(error) === "ENOENT";
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

export function fileError(message: string, cause: unknown): DenimError {
  const code = codeOf(cause);
  if (code === "EACCES" || code === "EPERM") {
    return new DenimError("PERMISSION_DENIED", message, {
      why: "the system does not let this user do that",
      fix: "run as root",
      cause,
    });
  }
  return storageError(message, cause);
}

/** What a disk has refused: `DISK_FULL`, or `STORE_FAILED` for whatever else it says. */
export function storageError(message: string, cause: unknown): DenimError {
  const why = messageOf(cause);
  if (codeOf(cause) === "ENOSPC" || /no space left|quota exceeded/i.test(why)) {
    return new DenimError("DISK_FULL", message, {
      why: `the disk is full: ${why}`,
      fix: "make room there (df -h shows how much there is), then start the daemon again; " +
        "nothing that was acknowledged is lost",
      cause,
    });
  }
  const fix = "look at the disk (df, dmesg), then start the daemon again";
  return new DenimError("STORE_FAILED", message, { why, fix, cause });
}

/** LevelDB's own words are one error deeper. */
function messageOf(error: unknown): string {
  const { cause, message } = error as { cause?: { message?: string }; message: string };
  return cause?.message ?? message;
}
