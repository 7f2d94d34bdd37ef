/** Nobody: no vote was cast, no leader is known, nobody is to take over. Real ids start at 1. */
export const NOBODY = 0;

/** The name of a log position: equal names mean equal logs up to there (Raft paper, figure 3). */
export interface Place {
  readonly index: number;
  readonly term: number;
}

/**
 * One position of the replicated log. `data` is text, JSON in practice, so that a log can be read
 * with the eyes. The data of a `change` entry is the JSON of a {@link Change}. A `normal` entry
 * with empty data is the one with which a leader opens its term (Raft thesis, section 6.4).
 */
export interface Entry {
  readonly index: number;
  readonly term: number;
  readonly type: EntryType;
  readonly data: string;
}

export type EntryType = "normal" | "change";

/** Something to put into the log; the leader gives it its place. */
export interface Proposal {
  readonly type: EntryType;
  readonly data: string;
}

/**
 * What an entry's payload weighs against the limits: UTF-16 units, which for the ASCII text of
 * canonical JSON is its size in bytes, and costs nothing to ask for. Text outside ASCII weighs up
 * to three times more on the wire than it counts here; the limits are far from any hard edge.
 */
export function payloadBytes(entry: Proposal): number {
  return entry.data.length;
}

/** What an entry adds to a message beside its payload: index, term, type and their names. */
const ENTRY_OVERHEAD_BYTES = 64;

export function entryBytes(entry: Entry): number {
  return payloadBytes(entry) + ENTRY_OVERHEAD_BYTES;
}

export function sumPayloadBytes(entries: readonly Proposal[]): number {
  return entries.reduce((sum, entry) => sum + payloadBytes(entry), 0);
}
