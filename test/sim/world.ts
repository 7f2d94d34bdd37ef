import { crc32 } from "node:zlib";
import { type Random, seededRandom } from "../../src/base/random.ts";

interface Happening {
  readonly atMs: number;
  readonly order: number;
  /** `undefined` once it was cancelled. */
  run: (() => void) | undefined;
}

/** The last notes of a run, shown when it fails. */
const NOTES_MAX = 400;

/**
 * Virtual time and everything that is going to happen in it. One thing happens at a time, and all
 * that waits for a promise only is done before the next: so one seed is one run, on any runtime.
 */
export class World {
  readonly random: Random;
  readonly seed: number;
  /** What happened last, newest last. */
  readonly notes: string[] = [];
  #nowMs = 0;
  #order = 0;
  #hash = 0;
  #happened = 0;
  readonly #heap: Happening[] = [];

  constructor(seed: number) {
    this.seed = seed;
    this.random = seededRandom(seed);
  }

  /** True time, milliseconds since the run began. No host knows it. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get happened(): number {
    return this.#happened;
  }

  /** Equal on both runtimes for the same seed. */
  get traceHash(): string {
    return this.#hash.toString(16).padStart(8, "0");
  }

  /** Puts a fact into the trace. */
  note(text: string): void {
    this.#hash = crc32(`${this.#nowMs} ${text}`, this.#hash);
    this.notes.push(`${(this.#nowMs / 1000).toFixed(3)} ${text}`);
    if (this.notes.length > 2 * NOTES_MAX) this.notes.splice(0, NOTES_MAX);
  }

  /** Something that happens `delayMs` from now; the result cancels it. */
  after(delayMs: number, run: () => void): () => void {
    const happening: Happening = {
      atMs: delayMs <= 0 ? this.#nowMs : grain(this.#nowMs + delayMs),
      order: this.#order++,
      run,
    };
    this.#push(happening);
    return () => (happening.run = undefined);
  }

  /** Lets time pass; `look` is called after each thing that happened. */
  async pass(durationMs: number, look: () => void): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    await settle();
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= endMs; next = this.#heap[0]) {
      this.#pop();
      if (next.run === undefined) continue;
      this.#nowMs = next.atMs;
      this.#happened++;
      next.run();
      await settle();
      look();
    }
    this.#nowMs = endMs;
  }

  /** Something between two numbers of milliseconds. */
  between(fromMs: number, toMs: number): number {
    return fromMs + this.random.fraction() * (toMs - fromMs);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.random.fraction() < probability;
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[this.random.below(Math.max(1, items.length))];
  }

  #push(happening: Happening): void {
    const heap = this.#heap;
    let at = heap.push(happening) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(happening, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = happening;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

/** Time passes in microseconds: a rest below that would never be over. */
function grain(atMs: number): number {
  return Math.ceil(atMs * 1_000) / 1_000;
}

function isBefore(a: Happening, b: Happening): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** Everything that waits for a promise only is done when this resolves. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
