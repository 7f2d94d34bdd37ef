import type { Clock } from "../base/clock.ts";
import { assert } from "../base/errors.ts";
import type { StateRecord } from "../lease/records.ts";
import type { Raft, SnapshotMeta, SnapshotOffer } from "../raft/mod.ts";
import type { Copy } from "../store/copy.ts";
import type { Store } from "../store/store.ts";
import type { Capture } from "./peers.ts";

export interface OutgoingParts {
  readonly core: Raft;
  readonly store: Store;
  readonly copy: Copy;
  readonly clock: Clock;
}

/** One state on its way to one follower. */
interface Transfer {
  readonly meta: SnapshotMeta;
  readonly capture: Capture;
  /** When the follower last took some of it. */
  heardMs: number;
}

/** A follower that has taken nothing for this long does not hold up trimming any more. */
const PATIENCE_MS = 60_000;

/**
 * The snapshots that this leader is sending. What has been captured is kept until the follower goes
 * on from there: a transfer that broke off then goes on where it was, and the log that follows on it
 * is not trimmed away meanwhile, which would make the whole of it worthless (hashicorp/raft #212).
 * Neither lasts for a follower that takes nothing.
 */
export class OutgoingSnapshots {
  readonly #parts: OutgoingParts;
  /** By raft id. */
  readonly #transfers = new Map<number, Transfer>();

  constructor(parts: OutgoingParts) {
    this.#parts = parts;
  }

  /**
   * What to send for an offer of the core: an earlier state where its follower is on the way to
   * one that the log still leads on from, else the present one, which is the one that the core
   * speaks of. To be called before the turn applies anything.
   */
  prepare(offer: SnapshotOffer): { readonly offer: SnapshotOffer; readonly capture: Capture } {
    this.#forget();
    const transfer = this.#transfers.get(offer.to) ??
      { meta: offer.snapshot, capture: this.#capture(offer.snapshot), heardMs: this.#nowMs };
    this.#transfers.set(offer.to, transfer);
    return { offer: { ...offer, snapshot: transfer.meta }, capture: transfer.capture };
  }

  /** The follower has taken some of it. */
  heard(to: number): void {
    const transfer = this.#transfers.get(to);
    if (transfer !== undefined) transfer.heardMs = this.#nowMs;
  }

  /** Entries up to here may go, as far as followers on their way are concerned. */
  get trimmableTo(): number {
    this.#forget();
    return Math.min(...[...this.#transfers.values()].map(({ meta }) => meta.index), Infinity);
  }

  get #nowMs(): number {
    return this.#parts.clock.monotonicMs();
  }

  /** Who has got there, or has taken nothing for too long, or cannot go on from there any more. */
  #forget(): void {
    if (this.#transfers.size === 0) return;
    const { core, store } = this.#parts;
    const { role, progress } = core.status();
    for (const [to, { meta, heardMs }] of this.#transfers) {
      const match = progress.find(({ id }) => id === to)?.match ?? Infinity;
      const isOver = role !== "leader" || match >= meta.index ||
        this.#nowMs - heardMs > PATIENCE_MS || store.placeAt(meta.index) === undefined;
      if (isOver) this.#transfers.delete(to);
    }
  }

  #capture({ index }: SnapshotMeta): Capture {
    const { copy, store } = this.#parts;
    assert(copy.index === index, `the state is at ${copy.index}, the offer at ${index}`);
    const place = store.placeAt(index);
    assert(place !== undefined, `the log knows the place ${index}`);
    return { applied: copy.applied(), chain: place.chain, records: inOrder(copy.records()) };
  }
}

/** Servers have their records in different orders; a transfer may go on from another one. */
function inOrder(records: StateRecord[]): readonly StateRecord[] {
  return records.sort((a, b) => {
    const [one, other] = [`${a.table}/${a.key}`, `${b.table}/${b.key}`];
    return one < other ? -1 : 1;
  });
}
