/**
 * A queue with a limit between one or more producers and one consumer. Full is an answer, never a
 * leak: `push` says no and the producer decides.
 */
export class Queue<T> {
  readonly #items: T[] = [];
  readonly #limit: number;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#items.length;
  }

  /** False when the queue is full or closed; the item was not taken. */
  push(item: T): boolean {
    if (this.#closed || this.#items.length >= this.#limit) return false;
    this.#items.push(item);
    this.#wake?.();
    return true;
  }

  /** Takes everything that waits, in order. */
  drain(): T[] {
    return this.#items.splice(0);
  }

  /** Resolves when there is something to take; false when the queue is closed and empty. */
  async ready(): Promise<boolean> {
    while (this.#items.length === 0) {
      if (this.#closed) return false;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
  }
}
