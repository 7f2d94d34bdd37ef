import { theHold } from "./hold.ts";
import type { State } from "./state.ts";

/** Expiries in one entry; the rest follows in the next, so that a mass expiry starves nobody. */
const EXPIRE_MAX = 500;

/** The leases whose deadline has passed at `clockMs`, as the `lease.expire` command wants them. */
export function expiredLeases(
  state: State,
  clockMs: number,
): { readonly key: string; readonly revision: number }[] {
  const expired: { key: string; revision: number }[] = [];
  if (theHold(state) !== undefined) return expired;
  if ((state.nextDeadlineMs() ?? Infinity) > clockMs) return expired;
  for (const { key, body } of state.all("deadline")) {
    const lease = body.deadlineMs <= clockMs ? state.get("lease", key) : undefined;
    if (lease !== undefined) expired.push({ key, revision: lease.modRevision });
    if (expired.length === EXPIRE_MAX) break;
  }
  return expired;
}
