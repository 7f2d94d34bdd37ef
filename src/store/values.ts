/** One step of a write. Values are text that carries its own checksum (`codec.ts`). */
export type Operation =
  | { readonly type: "put"; readonly key: string; readonly value: string }
  | { readonly type: "del"; readonly key: string };

/** `>= gte` and `< lt`, by UTF-16 units, which for the ASCII keys of `keys.ts` is the byte order. */
export interface Range {
  readonly gte: string;
  readonly lt: string;
}

/**
 * Ordered keys and values on a disk, as a store needs them: the port under {@link Database}.
 * Drivers: `LevelValues`, and the simulator's disk. The one guarantee that is asked for: a write
 * that has resolved is on the disk whole, and after a crash one that has not is there whole or not
 * at all, with every one before it.
 */
export interface Values extends AsyncDisposable {
  /** For messages: where they are. */
  readonly path: string;
  /** Resolves once the operations are on disk, together. Rejects with what the disk said. */
  write(operations: readonly Operation[]): Promise<void>;
  get(key: string): Promise<string | undefined>;
  /** In the order of the keys. */
  entries(range: Range): Promise<readonly (readonly [key: string, value: string])[]>;
}
