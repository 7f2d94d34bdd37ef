import { DenimError } from "../../base/errors.ts";
import { isRevisioned, type StateRecord } from "../../lease/records.ts";
import type { Capture } from "../../replica/peers.ts";
import { Digest } from "../../store/digest.ts";
import type { AppliedRecord } from "../../store/load.ts";
import type { SnapshotPart } from "../../transport/protocol.ts";

/** The same for the same state, whoever sends it and however often. */
export function snapshotName({ applied }: Pick<Capture, "applied">): string {
  const { index, term, digest, clockDigest } = applied;
  return `${index}.${term}.${digest}.${clockDigest}`;
}

export interface Taken {
  /** The place of the record that is wanted next. */
  readonly at: number;
  /** With the last part. */
  readonly capture?: Capture;
}

/** One from the leader, and one from a server that does not know yet that it leads no more. */
const UNDER_WAY_MAX = 2;

/**
 * Snapshots on their way here, over whatever connections. They are kept in memory until they are
 * whole and proved, so that nothing on disk changes before all of it can.
 */
export class IncomingSnapshots {
  /** By name: the records that have come, in order. Least recently used first. */
  readonly #underWay = new Map<string, StateRecord[]>();

  /** @throws `PROTOCOL` where the whole is not what its name says; it is then forgotten */
  take({ snapshot, at, records, end }: SnapshotPart): Taken {
    const held = this.#underWay.get(snapshot) ?? [];
    this.#underWay.delete(snapshot);
    if (at === held.length) held.push(...records);
    const isWhole = end !== undefined && at + records.length === held.length;
    if (!isWhole) this.#keep(snapshot, held);
    if (!isWhole) return { at: held.length };
    const applied = end.applied as AppliedRecord;
    const capture: Capture = { applied, chain: end.chain, records: held };
    prove(snapshot, capture);
    return { at: held.length, capture };
  }

  #keep(snapshot: string, held: StateRecord[]): void {
    this.#underWay.set(snapshot, held);
    const [oldest] = this.#underWay.keys();
    if (this.#underWay.size > UNDER_WAY_MAX) this.#underWay.delete(oldest!);
  }
}

function prove(snapshot: string, { applied, records }: Capture): void {
  const revisioned = Digest.of(records.filter(({ table }) => isRevisioned(table)));
  const clock = Digest.of(records.filter(({ table }) => !isRevisioned(table)));
  const found = { ...applied, digest: revisioned.text, clockDigest: clock.text };
  if (snapshotName({ applied: found }) === snapshot) return;
  throw new DenimError("PROTOCOL", "The snapshot does not have the digest that it names");
}
