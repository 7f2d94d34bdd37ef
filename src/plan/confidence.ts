/**
 * `full`: the kernel is made equal to what is wanted. `add-only`: what is missing is added, and
 * nothing that stands is removed or changed.
 */
export type Mode = "full" | "add-only";

/** One unbroken history of the cluster. Equal only as a whole. */
export interface Epoch {
  readonly n: number;
  /** Random: tells two histories apart that were both counted `n`. */
  readonly random: string;
}

/** A point in a cluster's history. */
export interface Position {
  readonly epoch: Epoch;
  readonly revision: number;
}

/** How far the state at hand may be believed. */
export interface Confidence extends Position {
  /** A server with a leader less than 5 s old has confirmed it, in this process's lifetime. */
  readonly confirmedByLeader: boolean;
  /** The cluster is on hold after a recovery or a restore: leases may be unclaimed still. */
  readonly hold: boolean;
  /** From where routes were last programmed without reserve; absent on a new data directory. */
  readonly programmed: Position | undefined;
}

/**
 * No state is not no routes: a pass removes, or changes what stands, only on good evidence that
 * what it knows is complete and not older than what was programmed before. Traffic must not stop
 * because a daemon starts with an old cache, or a cluster was restored from an old backup.
 */
export function modeOf(confidence: Confidence): Mode {
  const { confirmedByLeader, hold, programmed, epoch, revision } = confidence;
  if (!confirmedByLeader || hold) return "add-only";
  if (programmed === undefined || epoch.n > programmed.epoch.n) return "full";
  const sameHistory = epoch.n === programmed.epoch.n && epoch.random === programmed.epoch.random;
  return sameHistory && revision >= programmed.revision ? "full" : "add-only";
}

/**
 * Whether single records may be followed although the mode is to add only: in a hold, those that
 * were made in its own epoch. Everything but the hold has to be as for a full pass.
 */
export function mayFollowClaims(confidence: Confidence): boolean {
  return confidence.hold && modeOf({ ...confidence, hold: false }) === "full";
}

/**
 * What to record as programmed after a pass; `undefined` leaves the record as it is. Within one
 * history it only grows, also by passes that only add, so that nothing older may remove what they
 * made; another history is recorded by a full pass only.
 */
export function positionAfter(confidence: Confidence): Position | undefined {
  const { epoch, revision, programmed } = confidence;
  if (modeOf(confidence) === "full") return { epoch, revision };
  const grows = programmed !== undefined && programmed.epoch.n === epoch.n &&
    programmed.epoch.random === epoch.random && revision > programmed.revision;
  return grows ? { epoch, revision } : undefined;
}
