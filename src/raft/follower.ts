/** What a server does with a leader's word (Raft paper, figure 2, AppendEntries and section 7). */
import { assert, DenimError } from "../base/errors.ts";
import { isMember } from "./configuration.ts";
import { becomeFollower, type Core, send, useConfiguration } from "./core.ts";
import { NOBODY } from "./entry.ts";
import type { Append, Heartbeat, SnapshotOffer } from "./message.ts";

type FromLeader = Append | Heartbeat | SnapshotOffer;

/**
 * Whoever leads in this term has won its election: a candidate gives up, a follower knows whom to
 * follow, and the election timer starts again.
 */
function followLeader(core: Core, message: FromLeader): void {
  assert(
    core.leader === NOBODY || core.leader === message.from,
    `two leaders in term ${core.term}: ${core.leader} and ${message.from}`,
  );
  if (core.role === "follower") {
    core.electionElapsed = 0;
    core.leader = message.from;
  } else {
    becomeFollower(core, message.term, message.from);
  }
}

export function onAppend(core: Core, message: Append): void {
  followLeader(core, message);
  const { log } = core;
  const { from, previousIndex, previousTerm, entries } = message;
  if (previousIndex < log.commit) {
    send(core, { kind: "append-accepted", to: from, index: log.commit });
    return;
  }
  if (!log.matches({ index: previousIndex, term: previousTerm })) {
    const hint = log.hint(Math.min(previousIndex, log.last.index), previousTerm);
    send(core, {
      kind: "append-rejected",
      to: from,
      index: previousIndex,
      hintIndex: hint.index,
      hintTerm: hint.term,
    });
    return;
  }
  log.append(entries);
  const index = previousIndex + entries.length;
  log.commitTo(Math.min(message.commit, index));
  send(core, { kind: "append-accepted", to: from, index });
}

/**
 * The leader sends no commit index above what this server acknowledged, and what is acknowledged
 * is on disk. If it is not in the log now, the store has lost it, and a vote from here could
 * un-commit entries (etcd #16220).
 */
export function onHeartbeat(core: Core, message: Heartbeat): void {
  followLeader(core, message);
  if (message.commit > core.log.last.index) {
    throw new DenimError(
      "STORE_DAMAGED",
      `The log ends at ${core.log.last.index}, but this server acknowledged ${message.commit}`,
      { why: "The store lost entries that were synced, or an old copy of it was put back" },
    );
  }
  core.log.commitTo(message.commit);
  const { readPosition } = message;
  send(core, { kind: "heartbeat-response", to: message.from, readPosition });
}

export function onSnapshot(core: Core, message: SnapshotOffer): void {
  followLeader(core, message);
  const restored = restore(core, message);
  const index = restored ? core.log.last.index : core.log.commit;
  send(core, { kind: "append-accepted", to: message.from, index });
}

/** False where the snapshot brings nothing, or is not meant for this server. */
function restore(core: Core, { snapshot }: SnapshotOffer): boolean {
  const { log } = core;
  if (snapshot.index <= log.commit) return false;
  if (!isMember(snapshot.configuration, core.id)) return false;
  if (log.matches(snapshot)) {
    log.commitTo(snapshot.index);
    return false;
  }
  log.restore(snapshot);
  core.progress.clear();
  useConfiguration(core, snapshot.configuration);
  return true;
}
