import type { Core, ReadState, Role } from "./core.ts";
import { type Entry, sumPayloadBytes } from "./entry.ts";
import type { Message, SnapshotMeta } from "./message.ts";
import { ownSnapshot } from "./replication.ts";
import type { HardState } from "./restored.ts";

/** What may change without a trace on disk. */
export interface SoftState {
  readonly role: Role;
  readonly leader: number;
}

/**
 * Work for the driver, in this order:
 *
 * 1. *Persist* `snapshot` (first), `entries` and `hardState`, in one atomic write. `entries`
 *    replace whatever is stored from the first one's index on. A snapshot replaces state and log
 *    alike, unless the stored log is `entries` that follow it.
 * 2. *Send* `messages`, after the write, or at once where `sendEarly`. To a `snapshot` message it
 *    adds its state as it is before step 3: `snapshot.index` is exactly that. However the transfer
 *    ends, it says so by {@link Raft.reportSnapshot}, or that follower gets nothing any more.
 * 3. *Apply* `committed` after the write, each `change` entry by {@link Raft.applyChange}; then
 *    answer `readStates` whose index is reached.
 * 4. Call {@link Raft.advance}. Only then does the server's own vote or append count.
 *
 * `tick` and `step` may be called in between; what they lead to comes with the next Ready.
 */
export interface Ready {
  /** Present where it changed. */
  readonly softState?: SoftState;
  /** Present where it changed. */
  readonly hardState?: HardState;
  /**
   * Entries, the term or the vote are to be written. Where false, a new commit index may wait for
   * the next write, with two exceptions that are written at once all the same: a `snapshot`, and
   * the `hardState` of a leader's Ready without `sendEarly`.
   */
  readonly mustSync: boolean;
  /**
   * Messages need not wait for the write: a leader's, which say nothing about its own disk (Raft
   * thesis, section 10.2.1). But news that a change is committed waits until this server has it on
   * disk: one of two voters that applied its own removal votes for nobody with a shorter log, and
   * the other, restarted without that news, could go on only while the first one is there to say so.
   */
  readonly sendEarly: boolean;
  readonly entries: readonly Entry[];
  readonly snapshot?: SnapshotMeta;
  readonly messages: readonly Message[];
  readonly committed: readonly Entry[];
  readonly readStates: readonly ReadState[];
}

/** What the last Ready said, to say only what is new. */
export interface Told {
  readonly softState: SoftState;
  readonly hardState: HardState;
}

export function softStateOf({ role, leader }: Core): SoftState {
  return { role, leader };
}

export function hardStateOf({ term, vote, log }: Core): HardState {
  return { term, vote, commit: log.commit };
}

function sameSoftState(a: SoftState, b: SoftState): boolean {
  return a.role === b.role && a.leader === b.leader;
}

function sameBallot(a: HardState, b: HardState): boolean {
  return a.term === b.term && a.vote === b.vote;
}

export function hasReady(core: Core, told: Told): boolean {
  const hardState = hardStateOf(core);
  return core.outbox.length > 0 || core.outboxAfterWrite.length > 0 ||
    core.log.stable < core.log.last.index || core.log.hasUnapplied() ||
    core.log.installing !== undefined || core.readStates.length > 0 || core.reads.due ||
    !sameSoftState(told.softState, softStateOf(core)) ||
    !sameBallot(told.hardState, hardState) || told.hardState.commit !== hardState.commit;
}

/** Messages to this server itself are its acknowledgements: they stay until `advance`. */
export function takeReady(core: Core, told: Told): { ready: Ready; ownMessages: Message[] } {
  const [softState, hardState] = [softStateOf(core), hardStateOf(core)];
  const sameHardState = sameBallot(told.hardState, hardState) &&
    told.hardState.commit === hardState.commit;
  const entries = core.log.unstable();
  const maxBytes = core.options.maxCommittedBytes ?? core.options.maxAppendBytes;
  const ready: Ready = {
    ...(sameSoftState(told.softState, softState) ? {} : { softState }),
    ...(sameHardState ? {} : { hardState }),
    mustSync: entries.length > 0 || !sameBallot(told.hardState, hardState),
    sendEarly: core.role === "leader" &&
      !core.log.hasChange(told.hardState.commit + 1, core.log.commit),
    entries,
    ...(core.log.installing ? { snapshot: core.log.installing } : {}),
    messages: [
      ...core.outbox.map((message) => withOwnSnapshot(core, message)),
      ...core.outboxAfterWrite.filter((message) => message.to !== core.id),
    ],
    committed: core.log.unapplied(maxBytes),
    readStates: core.readStates,
  };
  const ownMessages = core.outboxAfterWrite.filter((message) => message.to === core.id);
  core.outbox = [];
  core.outboxAfterWrite = [];
  core.readStates = [];
  return { ready, ownMessages };
}

/** The state that the driver attaches is the one of now, not of when the offer was made. */
function withOwnSnapshot(core: Core, message: Message): Message {
  return message.kind === "snapshot" ? { ...message, snapshot: ownSnapshot(core) } : message;
}

/** The driver has done what `ready` asked for. */
export function settle(core: Core, ready: Ready): void {
  const last = ready.entries.at(-1);
  if (last) core.log.stableTo(last);
  if (ready.snapshot) core.log.installed(ready.snapshot);
  const applied = ready.committed.at(-1);
  if (applied === undefined) return;
  core.log.appliedTo(applied.index);
  core.uncommittedBytes = Math.max(0, core.uncommittedBytes - sumPayloadBytes(ready.committed));
}
