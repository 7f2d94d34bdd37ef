import type { Logger } from "../base/log.ts";
import { decodeEntry } from "../lease/command.ts";
import type { Change, Entry, HardState, Message, Raft, SnapshotMeta } from "../raft/mod.ts";
import type { Copy } from "../store/copy.ts";
import type { Store, Write } from "../store/store.ts";
import type { Capture, Peers } from "./peers.ts";
import type { Reads } from "./reads.ts";
import type { Waiters } from "./waiters.ts";

/** Entries kept in log and memory at most, and what trimming leaves for those slightly behind. */
const LOG_ENTRIES_MAX = 10_000;
const LOG_ENTRIES_KEPT = 5_000;

export interface TurnParts {
  readonly core: Raft;
  readonly store: Store;
  readonly copy: Copy;
  readonly peers: Peers;
  readonly waiters: Waiters;
  readonly reads: Reads;
  readonly logger: Logger;
  /** The snapshot that a leader has sent, waiting for its turn. */
  takeIncoming(meta: SnapshotMeta): Capture;
}

/**
 * Does what the core asks for, once: persist, send, apply, advance (`raft.Ready`). Whatever the
 * state still owes the disk rides along with a write that has to be made anyway.
 */
export class Turns {
  readonly #parts: TurnParts;
  /** The newest hard state; only a change of term or vote has to be written at once. */
  #hardState: HardState | undefined;
  #snapshotsUnderWay = 0;

  constructor(parts: TurnParts) {
    this.#parts = parts;
  }

  /** @throws `STORE_FAILED`: nothing more may be sent or answered */
  async take(): Promise<void> {
    const { core } = this.#parts;
    const ready = core.ready();
    this.#hardState = ready.hardState ?? this.#hardState;
    const leads = core.role === "leader";
    if (leads) this.#send(ready.messages);
    if (ready.snapshot !== undefined) await this.#install(ready.snapshot);
    if (ready.mustSync) await this.#write({ entries: ready.entries });
    if (!leads) this.#send(ready.messages);
    for (const entry of ready.committed) this.#apply(entry);
    this.#parts.reads.settle(ready.readStates, this.#parts.copy.index);
    core.advance();
  }

  /** Brings the state to the disk although nothing else has to be written. */
  async flush(): Promise<void> {
    await this.#write({});
  }

  async #write(write: Write): Promise<void> {
    const { store, copy, core } = this.#parts;
    const durable = copy.index;
    const trimTo = this.#trimTo(store.trim.index, durable);
    await store.write({
      ...write,
      ...(this.#hardState === undefined ? {} : { hardState: this.#hardState }),
      ...(copy.dirty ? { state: copy.takeUnwritten() } : {}),
      ...(trimTo === undefined ? {} : { trimTo }),
    });
    if (trimTo !== undefined) core.compact(store.trim.index);
  }

  /** Trimming waits for a snapshot under way, or its receiver would need the next one at once. */
  #trimTo(from: number, durable: number): number | undefined {
    if (this.#snapshotsUnderWay > 0 || durable - from < LOG_ENTRIES_MAX) return undefined;
    return durable - LOG_ENTRIES_KEPT;
  }

  async #install(meta: SnapshotMeta): Promise<void> {
    const { store, copy, waiters, logger } = this.#parts;
    const { applied, chain, records } = this.#parts.takeIncoming(meta);
    const hardState = this.#hardState!;
    await store.install({ applied, records, log: { chain, hardState } });
    copy.replace(applied, records);
    waiters.passOver(applied.index);
    logger.info("installed a snapshot", { index: applied.index, records: records.length });
  }

  #send(messages: readonly Message[]): void {
    const { peers } = this.#parts;
    const plain = messages.filter((message) => message.kind !== "snapshot");
    if (plain.length > 0) peers.send(plain);
    for (const message of messages) {
      if (message.kind === "snapshot") void this.#sendSnapshot(message);
    }
  }

  async #sendSnapshot(offer: Extract<Message, { kind: "snapshot" }>): Promise<void> {
    const { core, copy, peers, store, logger } = this.#parts;
    const { index } = offer.snapshot;
    // Taken before this turn applies anything: the state is the one that the core speaks of.
    const capture = {
      applied: copy.applied(),
      chain: store.placeAt(index)!.chain,
      records: copy.records(),
    };
    this.#snapshotsUnderWay++;
    logger.info("sending a snapshot", { to: offer.to, index });
    const taken = await peers.sendSnapshot(offer, capture);
    this.#snapshotsUnderWay--;
    core.reportSnapshot(offer.to, taken);
  }

  #apply(entry: Entry): void {
    const { core, copy, waiters, logger } = this.#parts;
    const { index, term, type, data } = entry;
    if (type === "change") {
      const group = core.applyChange(JSON.parse(data) as Change);
      copy.applyGroup(index, term, group);
      waiters.settle(index, term, { ok: true, value: null });
      logger.info("the raft group changed", {
        voters: group.voters.join(" "),
        learners: group.learners.join(" "),
      });
    } else if (data === "") {
      copy.pass(index, term);
    } else {
      waiters.settle(index, term, copy.apply(index, term, decodeEntry(data)));
    }
  }
}
