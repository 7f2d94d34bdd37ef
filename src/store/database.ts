import { damaged, decodeValue, encodeValue } from "./codec.ts";
import { storageError } from "./files.ts";
import type { Operation, Range, Values } from "./values.ts";

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

/** Values that prove themselves: each carries its own checksum, whatever the disk below thinks. */
export class Database implements AsyncDisposable {
  readonly #values: Values;

  constructor(values: Values) {
    this.#values = values;
  }

  /** Resolves once the batch is on disk. @throws `STORE_FAILED` `DISK_FULL`: nothing may be written after. */
  async write(batch: Batch): Promise<void> {
    if (batch.operations.length === 0) return;
    try {
      await this.#values.write(batch.operations);
    } catch (cause) {
      throw storageError(`Cannot write to ${this.#values.path}`, cause);
    }
  }

  /** `undefined` when there is none. @throws `STORE_DAMAGED` */
  async read(key: string): Promise<unknown> {
    const stored = await reading(this.#values.get(key));
    return stored === undefined ? undefined : decodeValue(key, stored);
  }

  /** All values of a range, in the order of their keys. @throws `STORE_DAMAGED` */
  async readAll(range: Range): Promise<{ key: string; value: unknown }[]> {
    const stored = await reading(this.#values.entries(range));
    return stored.map(([key, value]) => ({ key, value: decodeValue(key, value) }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#values[Symbol.asyncDispose]();
  }
}

/** What the disk itself notices while it reads is damage too. */
async function reading<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw damaged((error as Error).message);
  }
}
