import { asDenimError, type DenimError } from "../base/errors.ts";
import type { Copy } from "../store/copy.ts";
import type { Store } from "../store/store.ts";

export interface DiskOptions {
  readonly store: Store;
  readonly copy: Copy;
  /** The store failed: the node goes on in memory. */
  readonly onFailed: (error: DenimError) => void;
}

/** An agent's copy on its own disk, one write after the other. One that fails is the last one. */
export class Disk {
  readonly #options: DiskOptions;
  #writing: Promise<void> = Promise.resolve();
  #failed = false;

  constructor(options: DiskOptions) {
    this.#options = options;
  }

  /** What the copy has now, as a whole. */
  async install(): Promise<void> {
    const { copy, store } = this.#options;
    const [applied, records] = [copy.applied(), copy.records()];
    this.#writing = this.#writing.then(() =>
      this.#write(() => store.install({ applied, records }))
    );
    await this.#writing;
  }

  /** What has changed in the copy since the last write. */
  flush(): void {
    const { copy, store } = this.#options;
    this.#writing = this.#writing.then(async () => {
      if (copy.dirty) await this.#write(() => store.write({ state: copy.takeUnwritten() }));
    });
  }

  /** Resolves when nothing is being written. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  async #write(write: () => Promise<void>): Promise<void> {
    if (this.#failed) return;
    try {
      await write();
    } catch (error) {
      this.#failed = true;
      this.#options.onFailed(asDenimError(error));
    }
  }
}
