import type { Canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import type { CommandOf } from "./command.ts";
import { clusterOf, configOf, type Context, memberOf } from "./context.ts";
import {
  beginHold,
  endHold,
  forgetClaims,
  holdDurationMs,
  leasesOfThisEpoch,
  theHold,
} from "./hold.ts";
import { equalEpoch, isFork, SINGLE } from "./records.ts";

/**
 * A new history begins on what one server had: it alone holds the log, and the cluster is on hold,
 * for holders may have been told more than this state knows.
 */
export function reformCluster(context: Context, command: CommandOf<"cluster.reform">): Canonical {
  const { draft, wallMs } = context;
  const { epoch, reason, node } = command;
  const cluster = clusterOf(context);
  const { raftId } = memberOf(context, node);
  if (raftId === undefined) {
    throw new DenimError("NOT_A_MEMBER", `${node} never held the log`, {
      why: "a cluster goes on from one of its servers",
    });
  }
  if (epoch.n <= cluster.epoch.n) {
    throw new DenimError("EPOCH_MISMATCH", `The cluster is in epoch ${cluster.epoch.n} already`);
  }
  const ended = { epoch: cluster.epoch, endRevision: draft.index };
  const ancestors = [...cluster.ancestors ?? [], ended];
  draft.put("cluster", SINGLE, { ...cluster, epoch, ancestors });
  draft.put("group", SINGLE, { voters: [raftId], learners: [] });
  forgetClaims(draft);
  const { leaseTtlMs } = configOf(context);
  return { ...beginHold(draft, { reason, sinceWallMs: wallMs }, { leaseTtlMs, wallMs }) };
}

/** Conditional on the epoch and, unless it is to be ended early, on the lease clock. */
export function releaseHold(
  context: Context,
  command: CommandOf<"cluster.release-hold">,
): Canonical {
  const { draft } = context;
  const { epoch } = clusterOf(context);
  if (!equalEpoch(epoch, command.epoch)) {
    throw new DenimError("EPOCH_MISMATCH", "That hold is of another epoch", {
      why: `the cluster is in epoch ${epoch.n}`,
    });
  }
  const hold = theHold(draft);
  if (hold === undefined || (!command.early && hold.endsMs > draft.clockMs)) return null;
  const claimed = leasesOfThisEpoch(draft).length;
  endHold(draft);
  return { claimed, unclaimed: [...draft.all("lease")].length - claimed };
}

/**
 * Two clusters go on from one past, and neither knows what the other gives out. Said again and
 * again, it prolongs the hold once half of it is over.
 */
export function noteFork(context: Context, command: CommandOf<"cluster.fork-seen">): Canonical {
  const { draft, wallMs } = context;
  const { epoch } = clusterOf(context);
  const { other } = command;
  if (!equalEpoch(epoch, command.epoch) || !isFork(epoch, other)) {
    throw new DenimError("EPOCH_MISMATCH", "That is no fork of this cluster", {
      why: `the cluster is in epoch ${epoch.n} (${epoch.random})`,
    });
  }
  const hold = theHold(draft);
  const { leaseTtlMs } = configOf(context);
  const leftMs = (hold?.endsMs ?? 0) - draft.clockMs;
  if (hold?.fork !== undefined && leftMs > holdDurationMs(leaseTtlMs) / 2) return null;
  const { reason = "fork", sinceWallMs = wallMs } = hold ?? {};
  beginHold(draft, { reason, sinceWallMs, fork: other }, { leaseTtlMs, wallMs });
  return null;
}
