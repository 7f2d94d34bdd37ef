import type { Canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import type { CallOptions, Cluster, Feed, Position, View } from "../lease/cluster.ts";
import type { Command } from "../lease/command.ts";

/**
 * The cluster port of a node whose driver may change while it runs: the planner makes an agent a
 * standby, and back. Whoever holds this sees only that.
 */
export class ClusterSwitch implements Cluster {
  #driver: Cluster | undefined;
  #unsubscribe: (() => void) | undefined;
  readonly #listeners = new Set<() => void>();
  /** Ends what followed the driver before. */
  #era = new AbortController();

  /** Puts another driver in place; the old one is the caller's to dispose of. */
  use(driver: Cluster): void {
    this.#unsubscribe?.();
    this.#driver = driver;
    this.#unsubscribe = driver.onChange(() => this.#listeners.forEach((listener) => listener()));
    this.#era.abort();
    this.#era = new AbortController();
    this.#listeners.forEach((listener) => listener());
  }

  async propose(command: Command, options?: CallOptions): Promise<Canonical> {
    return await this.#present().propose(command, options);
  }

  async read(level: "stale" | "linearizable", options?: CallOptions): Promise<View> {
    return await this.#present().read(level, options);
  }

  view(): View | undefined {
    return this.#driver?.view();
  }

  async *follow(from: Position | undefined, signal: AbortSignal): AsyncIterable<Feed> {
    let last = from;
    while (!signal.aborted) {
      const era = this.#era;
      for await (
        const feed of this.#present().follow(last, AbortSignal.any([signal, era.signal]))
      ) {
        last = feed.position;
        yield feed;
      }
      if (!era.signal.aborted) return;
    }
  }

  onChange(callback: () => void): () => void {
    this.#listeners.add(callback);
    return () => this.#listeners.delete(callback);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe?.();
    this.#era.abort();
    const driver = this.#driver;
    this.#driver = undefined;
    await driver?.[Symbol.asyncDispose]();
  }

  #present(): Cluster {
    if (this.#driver !== undefined) return this.#driver;
    throw new DenimError("NO_LEADER", "This node is not in a cluster yet", {
      fix: "denim init, or denim join",
    });
  }
}
