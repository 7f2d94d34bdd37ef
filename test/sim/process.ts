import type { Clock } from "../../src/base/clock.ts";
import type { Host } from "./host.ts";

/**
 * One life of a daemon: all that reaches it from outside goes through {@link run}. When it is killed
 * nothing reaches it any more, and whatever it waited for never comes.
 */
export class Process {
  readonly host: Host;
  readonly clock: Clock;
  #alive = true;
  #stopped = false;
  /** What has come while it was stopped. */
  readonly #held: (() => void)[] = [];

  constructor(host: Host) {
    this.host = host;
    this.clock = {
      wallMs: () => host.wallMs,
      monotonicMs: () => host.monotonicMs,
      bootMs: () => host.bootMs,
      after: (delayMs, callback) =>
        host.world.after(delayMs / host.clockRate, () => this.run(callback)),
    };
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** SIGSTOP: alive for everybody else, deaf and dumb. */
  get stopped(): boolean {
    return this.#stopped;
  }

  run(action: () => void): void {
    if (!this.#alive) return;
    if (this.#stopped) return void this.#held.push(action);
    this.host.touched = true;
    action();
  }

  kill(): void {
    this.#alive = false;
    this.#held.length = 0;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** SIGCONT: everything that it has missed is there at once. */
  go(): void {
    this.#stopped = false;
    for (const action of this.#held.splice(0)) this.run(action);
  }
}
