import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { decodeEntry } from "../lease/command.ts";
import type { Change, Entry, HardState, Message, Raft, SnapshotMeta } from "../raft/mod.ts";
import type { Copy } from "../store/copy.ts";
import type { Store, Write } from "../store/store.ts";
import { OutgoingSnapshots } from "./outgoing.ts";
import type { Capture, Peers } from "./peers.ts";
import type { Reads } from "./reads.ts";
import { Sending } from "./sending.ts";
import type { Waiters } from "./waiters.ts";
import type { WriteWatch } from "./write-watch.ts";

/** How much of the applied log is kept, in memory and on disk, for those slightly behind. */
export interface LogLimits {
  readonly entries: number;
  readonly bytes: number;
}

/** Above either the older half goes, bit by bit. */
export const LOG_LIMITS: LogLimits = { entries: 10_000, bytes: 64 * 1024 * 1024 };
/** So many times that much is kept at most for a follower that a snapshot is under way to. */
const LOG_PATIENCE = 4;

export interface TurnParts {
  readonly core: Raft;
  readonly store: Store;
  readonly copy: Copy;
  readonly peers: Peers;
  readonly waiters: Waiters;
  readonly reads: Reads;
  readonly watch: WriteWatch;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly logLimits: LogLimits;
  /** The snapshot that a leader has sent, waiting for its turn. */
  takeIncoming(meta: SnapshotMeta): Capture;
}

/**
 * Does what the core asks for, once: persist, send, apply, advance (`raft.Ready`). Whatever the
 * state still owes the disk rides along with a write that has to be made anyway.
 */
export class Turns {
  readonly #parts: TurnParts;
  readonly #sending: Sending;
  /** The newest hard state; only a change of term or vote has to be written at once. */
  #hardState: HardState | undefined;
  readonly #outgoing: OutgoingSnapshots;
  #halted = false;

  constructor(parts: TurnParts) {
    this.#parts = parts;
    this.#outgoing = new OutgoingSnapshots(parts);
    this.#sending = new Sending(parts.peers, parts.clock);
  }

  /** @throws `STORE_FAILED`: nothing more may be sent or answered */
  async take(): Promise<void> {
    const { core, reads, copy } = this.#parts;
    const ready = core.ready();
    this.#hardState = ready.hardState ?? this.#hardState;
    if (ready.sendEarly) this.#send(ready.messages);
    if (ready.snapshot !== undefined) await this.#install(ready.snapshot);
    // A leader that may not send early tells of a change that it must not forget in a crash.
    const tellsOfChange = core.role === "leader" && !ready.sendEarly;
    if (ready.mustSync || tellsOfChange) await this.#write({ entries: ready.entries });
    if (this.#halted) return;
    // Who offered a snapshot and leads no more takes the offer back.
    const leads = core.role === "leader";
    if (!ready.sendEarly) {
      this.#send(leads ? ready.messages : ready.messages.filter(({ kind }) => kind !== "snapshot"));
    }
    for (const entry of ready.committed) this.#apply(entry);
    reads.settle(ready.readStates, copy.index);
    core.advance();
  }

  /** The replica has failed: a turn under way sends and answers nothing more. */
  halt(): void {
    this.#halted = true;
    this.#sending.halt();
  }

  /** Brings the state to the disk although nothing else has to be written. */
  async flush(): Promise<void> {
    await this.#write({});
  }

  async #write(write: Write): Promise<void> {
    const { store, copy, core, watch } = this.#parts;
    const trimTo = this.#trimTo();
    await watch.over(store.write({
      ...write,
      ...(this.#hardState === undefined ? {} : { hardState: this.#hardState }),
      ...(copy.dirty ? { state: copy.takeUnwritten() } : {}),
      ...(trimTo === undefined ? {} : { trimTo }),
    }));
    if (trimTo !== undefined) core.compact(store.trim.index);
  }

  /**
   * Up to what was applied before this turn, which the same batch stores. A follower that is sent
   * a snapshot would need the next one at once if the log went on being trimmed.
   */
  #trimTo(): number | undefined {
    const { store, core, logLimits } = this.#parts;
    const from = store.trim.index;
    const isOver = (times: number) =>
      core.applied - from > logLimits.entries * times ||
      store.logSizeBytes > logLimits.bytes * times;
    if (!isOver(1)) return undefined;
    const half = from + Math.ceil((core.applied - from) / 2);
    const trimTo = isOver(LOG_PATIENCE) ? half : Math.min(half, this.#outgoing.trimmableTo);
    return trimTo > from ? trimTo : undefined;
  }

  async #install(meta: SnapshotMeta): Promise<void> {
    const { store, copy, waiters, watch, logger } = this.#parts;
    const { applied, chain, records } = this.#parts.takeIncoming(meta);
    const hardState = this.#hardState!;
    await watch.over(store.install({ applied, records, log: { chain, hardState } }));
    copy.replace(applied, records);
    waiters.passOver(applied.index);
    logger.info("installed a snapshot", { index: applied.index, records: records.length });
  }

  #send(messages: readonly Message[]): void {
    this.#sending.send(messages.filter((message) => message.kind !== "snapshot"));
    for (const message of messages) {
      // Prepared before this turn applies anything: the state is the one that the core speaks of.
      if (message.kind === "snapshot") void this.#sendSnapshot(this.#outgoing.prepare(message));
    }
  }

  async #sendSnapshot({ offer, capture }: ReturnType<OutgoingSnapshots["prepare"]>): Promise<void> {
    const { core, peers, logger } = this.#parts;
    const { to, snapshot: { index } } = offer;
    logger.info("sending a snapshot", { to, index });
    const onProgress = () => this.#outgoing.heard(to);
    const taken = await peers.sendSnapshot(offer, capture, onProgress).catch((error: Error) => {
      logger.warn("a snapshot was not taken", { to, index, why: error.message });
      return false;
    });
    core.reportSnapshot(to, taken);
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
      waiters.settle(index, term, { ok: true, value: null });
    } else {
      waiters.settle(index, term, copy.apply(index, term, decodeEntry(data)));
    }
  }
}
