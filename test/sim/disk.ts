import type { Files } from "../../src/store/files.ts";
import type { StorePlace } from "../../src/store/place.ts";
import { Store } from "../../src/store/store.ts";
import type { Operation, Range, Values } from "../../src/store/values.ts";
import type { Process } from "./process.ts";

/** What is on a disk, as plain data: it can be copied, lost and damaged. */
export interface Content {
  readonly values: Map<string, string>;
  readonly files: Map<string, string>;
}

export function copyOf({ values, files }: Content): Content {
  return { values: new Map(values), files: new Map(files) };
}

/** How a disk behaves now. */
export interface DiskMood {
  /** How long a synced write takes, milliseconds: at least, and on average on top. */
  leastMs: number;
  meanMs: number;
  /** Nothing that is written ever ends. */
  hung: boolean;
  /** The next write is refused with this. */
  failWith: string | undefined;
  freeBytes: number;
}

export type WriteObserver = (operations: readonly Operation[]) => void;

/**
 * A host's disk. A write that has ended is there; when the power goes, one that has not is there
 * whole or not at all, which is what a synced LevelDB batch promises.
 */
export class Disk {
  content: Content = { values: new Map(), files: new Map() };
  /** What stood on the disks that were here before: somebody may have acknowledged by it. */
  readonly former: Content[] = [];
  /** Stores that were set aside, oldest first. */
  readonly asides: Map<string, string>[] = [];
  readonly mood: DiskMood = {
    leastMs: 0.1,
    meanMs: 0.5,
    hung: false,
    failWith: undefined,
    freeBytes: 2 ** 40,
  };
  /** Told of each write of values as it reaches the disk. */
  onWrite: WriteObserver = () => {};
  #underWay = new Set<() => void>();

  /** The store's part of this disk, as a process sees it. */
  valuesFor(process: Process): Values {
    return {
      path: `${process.host.name}:store`,
      write: (operations) => this.#write(process, () => this.#put(operations)),
      get: (key) => Promise.resolve(this.content.values.get(key)),
      entries: (range) => Promise.resolve(this.#entries(range)),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  /** Where the daemon has its store. */
  placeFor(process: Process): StorePlace {
    return {
      path: `${process.host.name}:store`,
      room: () => Promise.resolve({ freeBytes: this.mood.freeBytes, totalBytes: 2 ** 40 }),
      ballastBytes: () => Promise.resolve(0),
      makeBallast: () => Promise.resolve(),
      open: () => Store.over(this.valuesFor(process)),
      setAside: (wallMs) =>
        this.#write(process, () => {
          this.asides.push(this.content.values);
          this.content = { ...this.content, values: new Map() };
        }).then(() => `store.aside-${Math.floor(wallMs)}`),
      putBack: () => Promise.reject(new Error("nobody founds a cluster here")),
    };
  }

  /** As an operator's tool sees it while no daemon runs: at once. */
  instantValues(): Values {
    return {
      path: "offline",
      write: (operations) => Promise.resolve(this.#put(operations)),
      get: (key) => Promise.resolve(this.content.values.get(key)),
      entries: (range) => Promise.resolve(this.#entries(range)),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  filesFor(process: Process): Files {
    return {
      read: (path) => Promise.resolve(this.content.files.get(path)),
      write: (path, text) => this.#write(process, () => this.content.files.set(path, text)),
      remove: (path) =>
        this.#write(process, () => {
          for (const name of [...this.content.files.keys()]) {
            if (name === path || name.startsWith(`${path}/`)) this.content.files.delete(name);
          }
        }),
    };
  }

  /** The power goes, or the process does: what was under way has happened, or has not. */
  cut(happened: () => boolean): void {
    for (const finish of this.#underWay) if (happened()) finish();
    this.#underWay.clear();
  }

  #write(process: Process, take: () => void): Promise<void> {
    const { world } = process.host;
    // One that was killed in this very moment may still be in the middle of something.
    if (!process.alive) return new Promise(() => {});
    const { leastMs, meanMs, hung, failWith } = this.mood;
    if (failWith !== undefined) return Promise.reject(new Error(failWith));
    const finish = () => void (this.#underWay.delete(finish), take());
    this.#underWay.add(finish);
    return new Promise((resolve) => {
      if (hung) return;
      const delayMs = leastMs - Math.log(1 - world.random.fraction()) * meanMs;
      world.after(delayMs, () => {
        if (!this.#underWay.has(finish)) return;
        finish();
        process.run(resolve);
      });
    });
  }

  #put(operations: readonly Operation[]): void {
    const { values } = this.content;
    for (const operation of operations) {
      if (operation.type === "put") values.set(operation.key, operation.value);
      else values.delete(operation.key);
    }
    this.onWrite(operations);
  }

  #entries({ gte, lt }: Range): [string, string][] {
    return [...this.content.values].filter(([key]) => key >= gte && key < lt)
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }
}
