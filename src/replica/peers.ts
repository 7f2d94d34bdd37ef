import type { Canonical } from "../base/canonical.ts";
import type { Command } from "../lease/command.ts";
import type { StateRecord } from "../lease/records.ts";
import type { Message, SnapshotOffer } from "../raft/mod.ts";
import type { AppliedRecord } from "../store/load.ts";

/** A server's whole state at one index, as it goes to a server that is too far behind. */
export interface Capture {
  readonly applied: AppliedRecord;
  /** The log's chain at `applied.index`. */
  readonly chain: number;
  readonly records: readonly StateRecord[];
}

/** The other servers, as a replica needs them. Raft ids are turned into connections behind it. */
export interface Peers {
  /**
   * Hands messages over and returns at once. What cannot be delivered is dropped; the replica is
   * told by `reportUnreachable`, and Raft repeats what matters.
   */
  send(messages: readonly Message[]): void;
  /**
   * True once the other side has taken all of it; then Raft's own answer follows. A transfer that
   * broke off goes on where it was, as long as the same capture is sent. `onProgress` is called as
   * often as the other side has taken some of it.
   */
  sendSnapshot(
    offer: SnapshotOffer,
    capture: Capture,
    onProgress: () => void,
  ): Promise<boolean>;
  /**
   * Passes a command on to the server that leads.
   *
   * @throws the refusal; `PEER_UNREACHABLE` when nothing was sent; `CONNECTION_LOST` when the
   * outcome is unknown
   */
  forward(leader: number, command: Command, timeoutMs: number): Promise<Canonical>;
}
