import type { Prefix } from "../ip/prefix.ts";
import type { Mode } from "./confidence.ts";
import type { Change, KernelRoute } from "./kernel.ts";
import type { Subject } from "./subject.ts";
import type { Link, OnLink, Wanted } from "./wanted.ts";

export interface DiffOptions {
  /** Every network that this data directory ever programmed, the current ones included. */
  readonly networks: readonly Prefix[];
  readonly mode: Mode;
  /**
   * Subnets whose leases were claimed in this epoch: what leads there may be repaired even when the
   * mode says to add only. Nothing is removed for that.
   */
  readonly claimed?: readonly Prefix[];
}

/** How one thing stands. */
export interface Item {
  readonly about: Subject;
  /**
   * - `ok`: in place.
   * - `missing`: wanted, not there.
   * - `different`: ours is there and is not as it is wanted, such as with another gateway.
   * - `extra`: ours, and no longer wanted.
   * - `conflict`: somebody else's is in the way. Reported, never fought over.
   */
  readonly state: "ok" | "missing" | "different" | "extra" | "conflict";
  readonly wanted?: Wanted;
  /** What the kernel has: ours, or in a conflict the other's. */
  readonly actual?: KernelRoute | Link | OnLink;
  /** Of a conflict: one sentence. */
  readonly why?: string;
}

/** One thing's share of a difference. */
export interface Part {
  readonly item: Item;
  readonly changes: readonly Change[];
}

export interface Difference {
  /** In the order in which they are to be made: nothing is missed for a moment longer than it must. */
  readonly changes: readonly Change[];
  /** Everything that is wanted or ours, sorted. */
  readonly items: readonly Item[];
}
