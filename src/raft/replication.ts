/** What a leader does to make the others' logs equal to its own (Raft paper, section 5.3). */
import { type Core, peers, send } from "./core.ts";
import { type Entry, type Proposal, sumPayloadBytes } from "./entry.ts";
import type { AppendAccepted, AppendRejected, HeartbeatResponse } from "./message.ts";
import type { Progress } from "./progress.ts";
import { majorityValue } from "./quorum.ts";
import { confirmReads, openHeldReads } from "./reads.ts";

/**
 * Puts proposals at the end of this leader's own log. It counts as one acknowledgement, but only
 * once it is written: until then the message to itself waits (etcd #14370). False when too much is
 * uncommitted already; a first entry is always taken, however big, and an empty one too.
 */
export function appendOwn(core: Core, proposals: readonly Proposal[]): boolean {
  const bytes = sumPayloadBytes(proposals);
  const tooMuch = core.uncommittedBytes + bytes > core.options.maxUncommittedBytes;
  if (tooMuch && core.uncommittedBytes > 0 && bytes > 0) return false;
  core.uncommittedBytes += bytes;
  const first = core.log.last.index + 1;
  core.log.append(
    proposals.map(({ type, data }, i) => ({ index: first + i, term: core.term, type, data })),
  );
  send(core, { kind: "append-accepted", to: core.id, index: core.log.last.index });
  return true;
}

export function broadcastAppend(core: Core): void {
  for (const id of peers(core)) sendAppend(core, id, { evenEmpty: true });
}

/**
 * Sends one follower what it needs next, or a snapshot where that is gone from the log. An empty
 * append is worth sending for the commit index it carries and the answer it brings. True when
 * something was sent.
 */
export function sendAppend(core: Core, to: number, { evenEmpty }: { evenEmpty: boolean }): boolean {
  const progress = core.progress.get(to);
  if (progress === undefined || progress.paused) return false;
  const previousIndex = progress.next - 1;
  const previousTerm = core.log.termAt(previousIndex);
  if (previousTerm === undefined) return sendSnapshot(core, to, progress);
  const entries = entriesFor(core, progress);
  if (entries.length === 0 && !evenEmpty) return false;
  const commit = core.log.commit;
  send(core, { kind: "append", to, previousIndex, previousTerm, entries, commit });
  progress.sentAppend(entries.length, sumPayloadBytes(entries), commit);
  return true;
}

function entriesFor(core: Core, progress: Progress): Entry[] {
  if (!progress.takesEntries) return [];
  return core.log.slice(progress.next, core.log.last.index, core.options.maxAppendBytes);
}

/**
 * The offer says how far this server's state had got; {@link Raft.ready} brings that up to date,
 * for it is then that the driver attaches the state itself.
 */
function sendSnapshot(core: Core, to: number, progress: Progress): boolean {
  if (!progress.active) return false;
  progress.becomeSnapshot(core.log.applied);
  send(core, { kind: "snapshot", to, snapshot: ownSnapshot(core) });
  return true;
}

export function ownSnapshot(core: Core) {
  const index = core.log.applied;
  return { index, term: core.log.termAt(index)!, configuration: core.configuration };
}

/**
 * A heartbeat carries no entries and is never held back by flow control. Its commit index stays
 * within what the follower acknowledged: beyond that its log may still differ.
 */
export function broadcastHeartbeat(core: Core): void {
  core.reads.asked();
  for (const id of peers(core)) {
    const progress = core.progress.get(id)!;
    const commit = Math.min(progress.match, core.log.commit);
    send(core, { kind: "heartbeat", to: id, commit, readPosition: core.reads.position });
    progress.sentHeartbeat(commit);
  }
}

/**
 * Commits what a majority of the voters has, if it is of this term: an older entry on a majority
 * can still be lost, and becomes safe only under a newer one (Raft paper, section 5.4.2, figure 8).
 */
export function maybeCommit(core: Core): boolean {
  const index = majorityValue(
    core.configuration.voters,
    (id) => core.progress.get(id)?.match ?? 0,
  );
  if (index <= core.log.commit || core.log.termAt(index) !== core.term) return false;
  core.log.commitTo(index);
  return true;
}

export function onAppendAccepted(core: Core, message: AppendAccepted): void {
  const progress = core.progress.get(message.from);
  if (progress === undefined) return;
  progress.heard();
  const recovered = message.index === progress.match && progress.state === "probe";
  if (!progress.acknowledged(message.index) && !recovered) return;
  leaveWaitingState(core, progress, message.index);
  if (maybeCommit(core)) {
    openHeldReads(core);
    broadcastAppend(core);
  } else if (message.from !== core.id && progress.needsCommit(core.log.commit)) {
    sendAppend(core, message.from, { evenEmpty: true });
  }
  if (message.from === core.id) return;
  while (sendAppend(core, message.from, { evenEmpty: false }));
  if (message.from === core.transferee && progress.match === core.log.last.index) {
    send(core, { kind: "timeout-now", to: message.from });
  }
}

/**
 * An acknowledgement ends probing. It also ends waiting for a snapshot as soon as the log goes on
 * from there, whatever snapshot got the follower that far (etcd #10308).
 */
function leaveWaitingState(core: Core, progress: Progress, index: number): void {
  if (progress.state === "probe") progress.becomeReplicate();
  else if (progress.state === "replicate") progress.freeTo(index);
  else if (progress.match + 1 >= core.log.firstIndex) {
    progress.becomeProbe();
    progress.becomeReplicate();
  }
}

/**
 * Backs up to the best place where the logs may agree. Both sides skip whole terms: the follower
 * hinted at its last place not above our term, we go to our last place not above its term.
 */
export function onAppendRejected(core: Core, message: AppendRejected): void {
  const progress = core.progress.get(message.from);
  if (progress === undefined) return;
  progress.heard();
  const { hintIndex, hintTerm } = message;
  const hint = hintTerm > 0 ? core.log.hint(hintIndex, hintTerm).index : hintIndex;
  if (!progress.rejected(message.index, hint)) return;
  if (progress.state === "replicate") progress.becomeProbe();
  sendAppend(core, message.from, { evenEmpty: true });
}

/**
 * A sign of life lets one more append out, even into a full window: whatever filled it may be
 * lost. A follower that is up to date but still probed gets one too, so that its answer ends that.
 */
export function onHeartbeatResponse(core: Core, message: HeartbeatResponse): void {
  const progress = core.progress.get(message.from);
  if (progress === undefined) return;
  progress.heard();
  progress.resume();
  if (progress.match < core.log.last.index || progress.state === "probe") {
    sendAppend(core, message.from, { evenEmpty: true });
  }
  confirmReads(core, message);
}

export function reportUnreachable(core: Core, id: number): void {
  const progress = core.progress.get(id);
  if (core.role !== "leader" || progress?.state !== "replicate") return;
  progress.becomeProbe();
}

/**
 * The driver's word on a snapshot it sent. Either way wait: for the acknowledgement, or for the
 * next heartbeat's answer before trying again.
 */
export function reportSnapshot(core: Core, id: number, ok: boolean): void {
  const progress = core.progress.get(id);
  if (core.role !== "leader" || progress?.state !== "snapshot") return;
  if (!ok) progress.forgetSnapshot();
  progress.becomeProbe();
  progress.pause();
}
