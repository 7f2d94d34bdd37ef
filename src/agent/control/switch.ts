import type { Canonical } from "../../base/canonical.ts";
import { DenimError, isDenimError } from "../../base/errors.ts";
import type { CallOptions, Cluster, Feed, Position, View } from "../../lease/cluster.ts";
import type { Command } from "../../lease/command.ts";

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
  /** Settles when the next driver is in place. */
  #next: PromiseWithResolvers<void> | undefined;
  #closed = false;
  readonly #explain: (error: DenimError) => DenimError;

  /** `explain` says more of a `NO_LEADER` than a driver knows. */
  constructor(explain: (error: DenimError) => DenimError = (error) => error) {
    this.#explain = explain;
  }

  /** The driver is about to go: calls wait for the next one, the view stays. */
  pause(): void {
    this.#next ??= Promise.withResolvers();
  }

  /** Puts another driver in place; the old one is the caller's to dispose of. */
  use(driver: Cluster): void {
    this.#unsubscribe?.();
    this.#driver = driver;
    this.#unsubscribe = driver.onChange(() => this.#tell());
    this.#newEra();
    this.#tell();
  }

  async propose(command: Command, options?: CallOptions): Promise<Canonical> {
    await this.#next?.promise;
    return await this.#explained(() => this.#present().propose(command, options));
  }

  async read(level: "stale" | "linearizable", options?: CallOptions): Promise<View> {
    await this.#next?.promise;
    return await this.#explained(() => this.#present().read(level, options));
  }

  view(): View | undefined {
    return this.#driver?.view();
  }

  async *follow(from: Position | undefined, signal: AbortSignal): AsyncIterable<Feed> {
    let last = from;
    while (!signal.aborted) {
      await this.#next?.promise;
      const era = this.#era.signal;
      for await (const feed of this.#present().follow(last, AbortSignal.any([signal, era]))) {
        last = feed.position;
        yield feed;
      }
      if (!era.aborted || this.#closed) return;
    }
  }

  onChange(callback: () => void): () => void {
    const listener = () => callback();
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#unsubscribe?.();
    const driver = this.#driver;
    this.#driver = undefined;
    this.#newEra();
    await driver?.[Symbol.asyncDispose]();
  }

  async #explained<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw isDenimError(error, "NO_LEADER") ? this.#explain(error) : error;
    }
  }

  #newEra(): void {
    const past = this.#era;
    this.#era = new AbortController();
    past.abort();
    this.#next?.resolve();
    this.#next = undefined;
  }

  #tell(): void {
    this.#listeners.forEach((listener) => listener());
  }

  #present(): Cluster {
    if (this.#driver !== undefined) return this.#driver;
    if (this.#closed) throw new DenimError("CANCELLED", "The daemon is stopping");
    throw new DenimError("NO_LEADER", "This node is not in a cluster yet", {
      fix: "denim init, or denim join",
    });
  }
}
