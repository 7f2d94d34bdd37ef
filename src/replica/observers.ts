import { equalEpoch } from "../lease/records.ts";
import type { Position } from "../lease/cluster.ts";

/** What of a view can change, apart from its age. */
export interface Sight {
  readonly position: Position;
  readonly leader: number;
  /** When a leader last stood behind the view. */
  readonly confirmedMs: number | undefined;
}

/** A confirmation after this long is news: what waited for one can go on. */
const CONFIRMED_GAP_MS = 3_000;

/** Who wants to know when the view has changed. Told after a turn, however much that changed. */
export class Observers {
  readonly #listeners = new Set<() => void>();
  #seen: Sight | undefined;

  add(callback: () => void): () => void {
    const listener = () => callback();
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  look(now: Sight): void {
    const isNews = this.#seen === undefined || differs(this.#seen, now);
    this.#seen = now;
    if (isNews) this.#listeners.forEach((listener) => listener());
  }
}

function differs(before: Sight, now: Sight): boolean {
  const gapMs = (now.confirmedMs ?? -Infinity) - (before.confirmedMs ?? -Infinity);
  return before.position.revision !== now.position.revision || before.leader !== now.leader ||
    !equalEpoch(before.position.epoch, now.position.epoch) || gapMs > CONFIRMED_GAP_MS;
}
