/** Reads that see everything committed before them, without an entry (Raft thesis, section 6.4). */
import { type Core, send } from "./core.ts";
import { NOBODY } from "./entry.ts";
import type { HeartbeatResponse, ReadIndex, ReadIndexResponse } from "./message.ts";
import type { Read } from "./read-queue.ts";

export type ReadResult =
  /** A {@link ReadState} with this context will come, unless the leader changes or a message is lost. */
  | { readonly kind: "accepted" }
  | { readonly kind: "no-leader" }
  | { readonly kind: "overloaded" };

export function readIndex(core: Core, context: string): ReadResult {
  if (core.role === "leader") return startRead(core, { from: core.id, context });
  if (core.leader === NOBODY) return { kind: "no-leader" };
  send(core, { kind: "read-index", to: core.leader, context }, 0);
  return { kind: "accepted" };
}

/** Only a leader answers, and only members: whoever asks the wrong server asks again. */
export function onReadIndex(core: Core, message: ReadIndex): void {
  if (!core.progress.has(message.from)) return;
  startRead(core, { from: message.from, context: message.context });
}

export function onReadIndexResponse(core: Core, message: ReadIndexResponse): void {
  if (message.from !== core.leader) return;
  core.readStates.push({ context: message.context, index: message.index });
}

function startRead(core: Core, read: Read): ReadResult {
  if (core.reads.full) return { kind: "overloaded" };
  if (core.log.termAt(core.log.commit) === core.term) {
    core.reads.wait(read, core.log.commit);
    finishReads(core);
  } else {
    core.reads.hold(read);
  }
  return { kind: "accepted" };
}

/** The first commit of this leader's own term has come: now it knows what is committed. */
export function openHeldReads(core: Core): void {
  for (const read of core.reads.takeHeld()) core.reads.wait(read, core.log.commit);
  finishReads(core);
}

export function confirmReads(core: Core, message: HeartbeatResponse): void {
  core.reads.confirm(message.from, message.readPosition);
  finishReads(core);
}

/** Also asked for after a change: a smaller majority may have confirmed already. */
export function finishReads(core: Core): void {
  for (const read of core.reads.takeConfirmed(core.id, core.configuration.voters)) {
    const { from, context, index } = read;
    if (from === core.id) core.readStates.push({ context, index });
    else send(core, { kind: "read-index-response", to: from, context, index });
  }
}
