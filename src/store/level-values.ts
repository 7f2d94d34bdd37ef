import { mkdirSync } from "node:fs";
import { Level } from "level";
import { DenimError } from "../base/errors.ts";
import { damaged } from "./codec.ts";
import { storageError } from "./files.ts";
import { findLostHead, findLostRecords } from "./leveldb-log.ts";
import type { Operation, Range, Values } from "./values.ts";

/**
 * LevelDB, used in the one way that its guarantees bear: every write is one synced batch, so that a
 * crash leaves a prefix.
 */
export class LevelValues implements Values {
  readonly #level: Level<string, string>;
  readonly path: string;

  private constructor(level: Level<string, string>, path: string) {
    this.#level = level;
    this.path = path;
  }

  /**
   * Creates what is missing.
   *
   * @throws `STORE_LOCKED` `STORE_DAMAGED` `PERMISSION_DENIED` `STORE_FAILED` `DISK_FULL`
   */
  static async open(path: string): Promise<LevelValues> {
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      const lost = findLostRecords(path) ?? findLostHead(path);
      if (lost !== undefined) throw damaged(lost);
      const level = new Level<string, string>(path);
      await level.open();
      return new LevelValues(level, path);
    } catch (error) {
      throw openError(path, error);
    }
  }

  async write(operations: readonly Operation[]): Promise<void> {
    await this.#level.batch(operations as Operation[], { sync: true });
  }

  async get(key: string): Promise<string | undefined> {
    return await this.#level.get(key);
  }

  async entries(range: Range): Promise<readonly (readonly [string, string])[]> {
    return await this.#level.iterator({ ...range }).all();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#level.close();
  }
}

function openError(path: string, error: unknown): DenimError {
  if (error instanceof DenimError) return error;
  const { code, cause } = error as { code?: string; cause?: { code?: string; message?: string } };
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    return new DenimError("PERMISSION_DENIED", `Cannot use ${path}`, {
      why: (error as Error).message,
      fix: "run as root, or name another directory with --state-dir",
      cause: error,
    });
  }
  if (cause?.code === "LEVEL_LOCKED") {
    return new DenimError("STORE_LOCKED", `Another denim uses ${path}`, {
      why: "a store belongs to one daemon at a time",
      fix: "use that daemon (denim status), or stop it first",
      cause: error,
    });
  }
  const why = cause?.message ?? (error as Error).message;
  // A file that another one names and that is not there was there once.
  if (/corrupt|no such file/i.test(why)) return damaged(why);
  return storageError(`Cannot open the store in ${path}`, error);
}
