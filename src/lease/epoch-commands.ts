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
import { CERTIFICATE_MAX_MS } from "./node-commands.ts";
import { equalEpoch, isFork, SINGLE } from "./records.ts";
import { nextRaftId } from "./state.ts";

/**
 * A new history begins on what one server had: it alone holds the log, and the cluster is on hold,
 * for holders may have been told more than this state knows.
 */
export function reformCluster(context: Context, command: CommandOf<"cluster.reform">): Canonical {
  const { draft, wallMs } = context;
  const { epoch, reason } = command;
  const { epoch: former } = clusterOf(context);
  if (epoch.n <= former.n) {
    throw new DenimError("EPOCH_MISMATCH", `The cluster is in epoch ${former.n} already`);
  }
  const raftId = raftIdOf(context, command);
  const cluster = clusterOf(context);
  const ended = { epoch: cluster.epoch, endRevision: draft.index };
  const ancestors = [...cluster.ancestors ?? [], ended];
  draft.put("cluster", SINGLE, { ...cluster, epoch, ancestors });
  draft.put("group", SINGLE, { voters: [raftId], learners: [] });
  forgetClaims(draft);
  // One that was used up, or revoked, after the backup would be good again.
  if (reason === "restore") {
    for (const { key } of [...draft.all("token")]) draft.delete("token", key);
    for (const { key, body } of [...draft.all("reservation")]) {
      if (body.tokenId !== undefined) draft.delete("reservation", key);
    }
    // Who is believed, the host that goes on has on its disk: it may have changed since the backup.
    draft.delete("trust", SINGLE);
  }
  distrustDates(context);
  const { leaseTtlMs } = configOf(context);
  return { ...beginHold(draft, { reason, sinceWallMs: wallMs }, { leaseTtlMs, wallMs }) };
}

/** A node may have got a certificate in what was lost: whoever is removed is remembered as long. */
function distrustDates({ draft, wallMs }: Context): void {
  for (const { key, body } of [...draft.all("node")]) {
    const certificateEndsWallMs = Math.max(body.certificateEndsWallMs, wallMs + CERTIFICATE_MAX_MS);
    draft.put("node", key, { ...body, certificateEndsWallMs });
  }
}

/** Under which the node goes on: a new one where its store is new. */
function raftIdOf(context: Context, { node, place }: CommandOf<"cluster.reform">): number {
  const body = memberOf(context, node);
  if (body.raftId === undefined) {
    throw new DenimError("NOT_A_MEMBER", `${node} never held the log`, {
      why: "a cluster goes on from one of its servers",
    });
  }
  if (place === undefined) return body.raftId;
  const raftId = nextRaftId(context.draft);
  context.draft.put("node", node, { ...body, ...place, raftId });
  return raftId;
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
