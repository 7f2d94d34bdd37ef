import { randomBytes } from "node:crypto";
import { open, rm, stat, statfs } from "node:fs/promises";
import { fileError, isMissing } from "./files.ts";

/** How much a disk can still take, by somebody without a right to its reserve. */
export interface Room {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

const CHUNK_BYTES = 1024 * 1024;

/**
 * A file that only takes up room, to be given back when the disk is full: LevelDB cannot even be
 * opened then, since recovery writes a table (google/leveldb #1180, measured).
 */
export class Ballast {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** 0 where there is none. */
  async sizeBytes(): Promise<number> {
    try {
      return (await stat(this.#path)).size;
    } catch (error) {
      if (isMissing(error)) return 0;
      throw fileError(`Cannot look at ${this.#path}`, error);
    }
  }

  /**
   * Makes it, really allocated: of random bytes, which no file system can store in less. One that
   * could not be made whole is removed again.
   *
   * @throws `DISK_FULL` `PERMISSION_DENIED` `STORE_FAILED`
   */
  async make(sizeBytes: number): Promise<void> {
    const chunk = randomBytes(Math.min(CHUNK_BYTES, sizeBytes));
    try {
      await using file = await open(this.#path, "w", 0o600);
      for (let left = sizeBytes; left > 0; left -= chunk.length) {
        await file.writeFile(chunk.subarray(0, Math.min(left, chunk.length)));
      }
      await file.sync();
    } catch (error) {
      await this.drop().catch(() => {});
      throw fileError(`Cannot make ${this.#path}`, error);
    }
  }

  /** False where there was none. */
  async drop(): Promise<boolean> {
    if (await this.sizeBytes() === 0) return false;
    await rm(this.#path, { force: true });
    return true;
  }
}

/** @throws `STORE_FAILED` */
export async function roomAt(path: string): Promise<Room> {
  try {
    const { bavail, blocks, bsize } = await statfs(path);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  } catch (error) {
    throw fileError(`Cannot look at the disk of ${path}`, error);
  }
}
