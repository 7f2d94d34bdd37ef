import type { Canonical } from "../base/canonical.ts";
import type { CommandOf } from "./command.ts";
import type { Context } from "./context.ts";
import { theHold } from "./hold.ts";
import { bury, holdsLog } from "./node-commands.ts";
import { confiscate, expire } from "./tenure.ts";

/**
 * Ends leases whose deadline has passed on the lease clock. Conditional twice, on the lease's
 * revision and on its deadline, so that an expiry decided by a leader that is none any more, or
 * overtaken by a renewal, does nothing. While the cluster is on hold nothing ends.
 */
export function expireLeases(context: Context, command: CommandOf<"lease.expire">): Canonical {
  const { draft } = context;
  const expired: string[] = [];
  if (theHold(draft) !== undefined) return expired;
  for (const { key, revision } of command.leases) {
    const lease = draft.get("lease", key);
    const deadline = draft.get("deadline", key);
    if (lease === undefined || lease.modRevision !== revision) continue;
    if (deadline === undefined || deadline.body.deadlineMs > draft.clockMs) continue;
    const node = draft.get("node", lease.body.node);
    if (node?.body.ephemeral && !holdsLog(draft, node)) {
      confiscate(context, lease);
      bury(context, node);
    } else {
      expire(context, lease);
    }
    expired.push(key);
  }
  return expired;
}
