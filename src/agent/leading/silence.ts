import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/log.ts";
import type { Command } from "../../lease/command.ts";
import type { StateReader } from "../../lease/state.ts";
import type { ConnectedNotice } from "../../transport/protocol.ts";

/** Nobody has seen the node for this long: it is silent. */
const SILENT_AFTER_MS = 10_000;
/** A new leader listens this long before it says that anybody is silent. */
const NEW_LEADER_MS = 30_000;
/**
 * Who has not been seen for this long may be about to fall silent: a connection that its other end
 * has closed is gone at once, and one that only says nothing any more after six seconds, though they
 * were lost together. Whoever lives is seen more often than this.
 */
const MISSED_AFTER_MS = 3_000;
/** More than this share at once, and at least so many, is the network or us, not the nodes. */
const MASS_SHARE = 0.3;
const MASS_MIN = 3;

interface Seen {
  readonly startId: string;
  readonly atMs: number;
}

/**
 * The leader's knowledge of who is alive, from what all servers tell it about their connections.
 * It is not logged; only a node falling silent, or being back, is an entry.
 */
export class SilenceWatch {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #sinceMs: number;
  readonly #seen = new Map<string, Seen>();
  #alarm = false;

  /** Made when the server becomes leader. */
  constructor(options: { clock: Clock; logger: Logger }) {
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#sinceMs = options.clock.monotonicMs();
  }

  /** A server, or this one, says who is connected to it. */
  note({ nodes }: ConnectedNotice): void {
    const atMs = this.#clock.monotonicMs();
    for (const { node, startId } of nodes) this.#seen.set(node, { startId, atMs });
  }

  /** True while somebody has seen the node lately. */
  hears(node: string): boolean {
    return this.#seen.has(node) && this.#unseenMs(node) < SILENT_AFTER_MS;
  }

  /** Since when nobody has, as far as this leader can know. */
  #unseenMs(node: string): number {
    return this.#clock.monotonicMs() - (this.#seen.get(node)?.atMs ?? this.#sinceMs);
  }

  /** Too many fell silent at once: none is marked. */
  get alarm(): boolean {
    return this.#alarm;
  }

  /** What has to be written down now. `self` speaks for itself. */
  due(state: StateReader, self: string): Command[] {
    const commands: Command[] = [];
    const fallen: Command[] = [];
    let [count, missed] = [0, 0];
    for (const { key: node, body } of state.all("node")) {
      count++;
      if (node === self) continue;
      const heard = this.hears(node);
      if (heard && body.silent) commands.push({ kind: "node.silent", node, silent: false });
      if (!body.silent && this.#unseenMs(node) >= MISSED_AFTER_MS) missed++;
      if (heard || body.silent) continue;
      const startId = body.incarnation?.startId;
      fallen.push({
        kind: "node.silent",
        ...{ node, silent: true },
        ...(startId === undefined ? {} : { startId }),
      });
    }
    if (this.#clock.monotonicMs() - this.#sinceMs < NEW_LEADER_MS) return commands;
    const mass = fallen.length > 0 && missed >= MASS_MIN && missed > count * MASS_SHARE;
    if (mass && !this.#alarm) {
      this.#logger.error("many nodes fell silent at once; none is marked", {
        nodes: missed,
        of: count,
      });
    }
    this.#alarm = mass;
    return mass ? commands : [...commands, ...fallen];
  }
}
