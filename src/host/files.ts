import { mkdirSync } from "node:fs";
import { chmod, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import process from "node:process";
import { DenimError } from "../base/errors.ts";

/** Tells two writes of one process apart. */
let writes = 0;

/**
 * Replaces a file as a whole: a reader, and a crash at any moment, sees the old bytes or the new
 * ones. When it resolves they are on the disk, name included.
 *
 * @throws `STORE_FAILED`, `PERMISSION_DENIED`
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array,
  options: { mode: number },
): Promise<void> {
  const temporary = `${path}.${process.pid}.${writes++}.tmp`;
  try {
    const file = await open(temporary, "wx", options.mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    // The mode given to open was narrowed by the umask.
    await chmod(temporary, options.mode);
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw fileError(error, `Cannot write "${path}"`);
  }
}

/**
 * The bytes of a file; `undefined` when there is none.
 *
 * @throws `STORE_FAILED`, `PERMISSION_DENIED`
 */
export async function readFileIfAny(path: string): Promise<Uint8Array | undefined> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw fileError(error, `Cannot read "${path}"`);
  }
}

/** Makes what is missing of it, by default readable by everybody. @throws `PERMISSION_DENIED` `STORE_FAILED` */
export function makeFolder(path: string, mode = 0o755): void {
  try {
    mkdirSync(path, { recursive: true, mode });
  } catch (error) {
    throw fileError(error, `Cannot make ${path}`);
  }
}

/** A new name in a directory survives a crash only once the directory is written. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** What the system said about a file, as an error that says what to do. */
export function fileError(error: unknown, message: string): DenimError {
  const { code, message: why } = error as NodeJS.ErrnoException;
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    const fix = "run as root, and check that the file system is writable";
    return new DenimError("PERMISSION_DENIED", message, { why, fix, cause: error });
  }
  const fix = code === "ENOSPC" ? "free some space on that file system" : undefined;
  const options = fix === undefined ? { why, cause: error } : { why, fix, cause: error };
  return new DenimError("STORE_FAILED", message, options);
}
