import type { StateReader } from "./state.ts";

/** Expiries in one entry; the rest follows in the next, so that a mass expiry starves nobody. */
const EXPIRE_MAX = 500;

/** The leases whose deadline has passed at `clockMs`, as the `lease.expire` command wants them. */
export function expiredLeases(
  state: StateReader,
  clockMs: number,
): { readonly key: string; readonly revision: number }[] {
  const expired = [];
  for (const { key, body } of state.all("deadline")) {
    const lease = body.deadlineMs <= clockMs ? state.get("lease", key) : undefined;
    if (lease !== undefined) expired.push({ key, revision: lease.modRevision });
    if (expired.length === EXPIRE_MAX) break;
  }
  return expired;
}

/** The next deadline on the lease clock; `undefined` while nothing can expire. */
export function nextDeadlineMs(state: StateReader): number | undefined {
  let next: number | undefined;
  for (const { body } of state.all("deadline")) {
    if (next === undefined || body.deadlineMs < next) next = body.deadlineMs;
  }
  return next;
}
