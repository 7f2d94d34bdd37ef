import { mkdirSync } from "node:fs";
import { Level } from "level";
import { DenimError } from "../base/errors.ts";
import { damaged, decodeValue, encodeValue } from "./codec.ts";
import { findLostRecords } from "./leveldb-log.ts";

type Operation =
  | { readonly type: "put"; readonly key: string; readonly value: string }
  | { readonly type: "del"; readonly key: string };

/** Changes that reach the disk together or not at all. */
export class Batch {
  readonly operations: Operation[] = [];

  put(key: string, value: unknown): void {
    this.operations.push({ type: "put", key, value: encodeValue(key, value) });
  }

  delete(key: string): void {
    this.operations.push({ type: "del", key });
  }
}

/**
 * LevelDB, used in the one way that its guarantees bear: every write is one synced batch, so that a
 * crash leaves a prefix, and every value carries its own checksum.
 */
export class Database implements AsyncDisposable {
  readonly #level: Level<string, string>;
  readonly path: string;

  private constructor(level: Level<string, string>, path: string) {
    this.#level = level;
    this.path = path;
  }

  /**
   * Creates what is missing.
   *
   * @throws `STORE_LOCKED` `STORE_DAMAGED` `PERMISSION_DENIED` `STORE_FAILED`
   */
  static async open(path: string): Promise<Database> {
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      const lost = findLostRecords(path);
      if (lost !== undefined) throw damaged(lost);
      const level = new Level<string, string>(path);
      await level.open();
      return new Database(level, path);
    } catch (error) {
      throw openError(path, error);
    }
  }

  /** Resolves once the batch is on disk. @throws `STORE_FAILED`: nothing may be written after. */
  async write(batch: Batch): Promise<void> {
    if (batch.operations.length === 0) return;
    try {
      await this.#level.batch(batch.operations, { sync: true });
    } catch (cause) {
      throw new DenimError("STORE_FAILED", `Cannot write to ${this.path}`, {
        why: (cause as Error).message,
        fix: "look at the disk (df, dmesg), then restart the daemon",
        cause,
      });
    }
  }

  /** `undefined` when there is none. @throws `STORE_DAMAGED` */
  async read(key: string): Promise<unknown> {
    const stored = await reading(this.#level.get(key));
    return stored === undefined ? undefined : decodeValue(key, stored);
  }

  /** All values of a range, in the order of their keys. @throws `STORE_DAMAGED` */
  async readAll(
    range: { readonly gte: string; readonly lt: string },
  ): Promise<{ key: string; value: unknown }[]> {
    const stored = await reading(this.#level.iterator(range).all());
    return stored.map(([key, value]) => ({ key, value: decodeValue(key, value) }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#level.close();
  }
}

/** What LevelDB itself notices while it reads is damage too. */
async function reading<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw damaged((error as Error).message);
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
  if (/corrupt/i.test(why)) return damaged(why);
  return new DenimError("STORE_FAILED", `Cannot open the store in ${path}`, {
    why,
    fix: "look at the disk (df, dmesg), then start again",
    cause: error,
  });
}
