import { DenimError } from "../base/errors.ts";
import type { ClusterBody, DeadlineBody, HoldBody, Rank, StateRecord } from "./records.ts";
import { SINGLE } from "./records.ts";
import { type Draft, type StateReader, theCluster } from "./state.ts";

/** No holder believes in its lease for longer than this without a word of the cluster. */
const HOLD_MIN_MS = 24 * 3_600_000;

/** Until nobody believes any more in what is not known. */
export function holdDurationMs(leaseTtlMs: number): number {
  return Math.max(leaseTtlMs, HOLD_MIN_MS);
}

/** Why the cluster gives nothing out, if that is so. */
export function theHold(state: StateReader): HoldBody | undefined {
  return state.get("hold", SINGLE)?.body;
}

/**
 * Puts the cluster on hold, or prolongs the one that it is in. Until its end every lease stands:
 * its holder may have been told more than this state knows.
 */
export function beginHold(
  draft: Draft,
  hold: Pick<HoldBody, "reason" | "fork" | "sinceWallMs">,
  { leaseTtlMs, wallMs }: { readonly leaseTtlMs: number; readonly wallMs: number },
): HoldBody {
  const durationMs = holdDurationMs(leaseTtlMs);
  const endsMs = draft.clockMs + durationMs;
  const body = { ...hold, endsMs, untilWallMs: wallMs + durationMs };
  draft.put("hold", SINGLE, body);
  for (const { key } of [...draft.all("lease")]) {
    const deadline = draft.get("deadline", key)?.body ?? { deadlineMs: 0 };
    const deadlineMs = Math.max(deadline.deadlineMs, endsMs);
    draft.put("deadline", key, { ...deadline, deadlineMs });
  }
  return body;
}

/**
 * Leases keep their deadlines, also where the hold ends early: their holders may be there. Who
 * claimed one has it from now on like any other.
 */
export function endHold(draft: Draft): void {
  draft.delete("hold", SINGLE);
  forgetClaims(draft);
}

/** What was granted up to now is not to be outdone by a claim any more. */
export function forgetClaims(draft: Draft): void {
  for (const { key, body } of [...draft.all("deadline")]) {
    if (body.claim === undefined) continue;
    const { claim: _, ...rest } = body;
    draft.put("deadline", key, rest);
  }
}

/** @throws `ON_HOLD`, saying why and until when, if nothing may be given out now */
export function refuseOnHold(
  context: { readonly draft: Draft; readonly wallMs: number },
  what: string,
): void {
  const hold = theHold(context.draft);
  if (hold !== undefined) throw onHold(context, hold, what);
}

export function onHold(
  { draft, wallMs }: { readonly draft: Draft; readonly wallMs: number },
  hold: HoldBody,
  what: string,
): DenimError {
  const leftMs = Math.max(0, hold.endsMs - draft.clockMs);
  return new DenimError("ON_HOLD", `${what}: the cluster is on hold`, {
    why: `${REASONS[hold.reason]}, and hosts may hold leases that it does not know; ` +
      `it ends on ${new Date(wallMs + leftMs).toISOString()} at the earliest`,
    fix: "wait; hosts that are sure of their leases have them back at once. To end it with a " +
      "risk: denim cluster release-hold",
  });
}

export const REASONS: Readonly<Record<HoldBody["reason"], string>> = {
  recover: "it was recovered from one server",
  restore: "it was restored from a backup",
  fork: "another cluster goes on from the same past",
};

/** True for a lease that was granted or claimed since the present epoch began. */
export function isOfThisEpoch(cluster: ClusterBody, lease: StateRecord<"lease">): boolean {
  return lease.modRevision >= (cluster.ancestors?.at(-1)?.endRevision ?? 0);
}

/** The leases that were granted or claimed since the present epoch began. */
export function leasesOfThisEpoch(state: StateReader): StateRecord<"lease">[] {
  const cluster = theCluster(state);
  if (cluster === undefined) return [];
  return [...state.all("lease")].filter((lease) => isOfThisEpoch(cluster, lease));
}

/** The place of a revision of this state among those of claims. */
export function rankOf(cluster: ClusterBody, revision: number): Rank {
  const past = cluster.ancestors?.find(({ endRevision }) => revision < endRevision);
  return { n: (past?.epoch ?? cluster.epoch).n, revision };
}

/** What a claim has to outdo to take the place of this lease. */
export function rankOfLease(
  cluster: ClusterBody,
  lease: StateRecord<"lease">,
  deadline: DeadlineBody | undefined,
): Rank {
  return deadline?.claim ?? rankOf(cluster, lease.modRevision);
}

export function isGreater(a: Rank, b: Rank): boolean {
  return a.n > b.n || (a.n === b.n && a.revision > b.revision);
}
