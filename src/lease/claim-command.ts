import type { Canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import { overlaps, parsePrefix } from "../ip/prefix.ts";
import type { CommandOf, LeaseAnswer } from "./command.ts";
import { clusterOf, type Context, memberOf } from "./context.ts";
import { isGreater, isOfThisEpoch, onHold, rankOf, rankOfLease, theHold } from "./hold.ts";
import type { ClusterBody, HoldBody, Rank, StateRecord } from "./records.ts";
import { equalEpoch } from "./records.ts";
import { leaseOf } from "./state.ts";
import { leasedTo, refuseTaken, taken, WAITING } from "./taken.ts";
import {
  believedUntilMs,
  confiscate,
  extend,
  fits,
  giveBack,
  put,
  sameSubnets,
  sharingAddress,
} from "./tenure.ts";

type Claim = CommandOf<"lease.claim">;

/**
 * The way back for a holder whose lease ran out while nobody could hear it, or was granted in an
 * epoch before this one: the very same subnets, or none. Others would renumber its containers.
 */
export function claimLease(context: Context, command: Claim): Canonical {
  const { draft } = context;
  const { name } = memberOf(context, command.node);
  const cluster = clusterOf(context);
  refuseOtherHistory(cluster, command);
  const held = leaseOf(draft, command.node);
  const same = held !== undefined && sameSubnets(held.body.subnets, command.subnets);
  if (same && isOfThisEpoch(cluster, held)) return extend(context, held, command.attributes);
  const hold = theHold(draft);
  if (hold !== undefined) return claimOnHold(context, hold, command);
  if (same) return put(context, command.node, command.attributes, command.subnets);
  const claimant = { nodeId: command.node, name };
  for (const text of command.subnets) refuseTaken(context, parsePrefix(text), claimant);
  refuseUnfit(context, command);
  if (held !== undefined) throw holdsOthers(command, held);
  return put(context, command.node, command.attributes, command.subnets);
}

/**
 * While the cluster is on hold its state may be older than what holders were told. Whoever still
 * rightly believes in its lease has it, unless somebody got the same subnets later: by then, in
 * one history, the belief of the earlier one had ended. Whoever does not has to wait.
 */
function claimOnHold(context: Context, hold: HoldBody, command: Claim): LeaseAnswer {
  const { draft } = context;
  const cluster = clusterOf(context);
  const rank = { n: command.epoch.n, revision: command.revision };
  // Two histories apart may both have given the subnets away, and both holders be right.
  const isAncestral = cluster.ancestors?.some(({ epoch }) => equalEpoch(epoch, command.epoch));
  if (!command.locallyValid || isAncestral !== true) {
    throw onHold(context, hold, `${command.subnets.join(", ")} cannot be given back yet`);
  }
  refuseUnfit(context, command);
  refuseFreedLater(context, command, rank);
  const held = leaseOf(draft, command.node);
  if (held !== undefined && !sameSubnets(held.body.subnets, command.subnets)) {
    if (!outdoes(context, rank, held)) throw holdsOthers(command, held);
    giveBack(context, held);
  }
  const rivals = rivalsOf(context, command);
  for (const rival of rivals) {
    if (outdoes(context, rank, rival)) continue;
    throw taken(rival.body.subnets.join(", "), leasedTo(context, rival));
  }
  const fencedUntilMs = Math.max(0, ...rivals.map((rival) => outdo(context, rival)));
  return put(context, command.node, command.attributes, command.subnets, {
    claim: rank,
    ...(fencedUntilMs > 0 ? { fencedUntilMs } : {}),
  });
}

/** Epochs only go up: who comes from one beside or after this one is in the wrong place. */
function refuseOtherHistory({ epoch }: ClusterBody, { epoch: claimed }: Claim): void {
  if (claimed.n < epoch.n || equalEpoch(claimed, epoch)) return;
  throw new DenimError("EPOCH_MISMATCH", "The lease belongs to another history of the cluster", {
    why: `it was granted in epoch ${claimed.n} (${claimed.random}), ` +
      `the cluster is in ${epoch.n} (${epoch.random})`,
  });
}

/** Leases of others that cannot stand beside the claim. */
function rivalsOf(context: Context, { node, subnets, attributes }: Claim): StateRecord<"lease">[] {
  const claimed = subnets.map(parsePrefix);
  const meets = (text: string) => claimed.some((subnet) => overlaps(subnet, parsePrefix(text)));
  const overlapping = [...context.draft.all("lease")]
    .filter(({ body }) => body.node !== node && body.subnets.some(meets));
  const rivals = [...overlapping, ...sharingAddress(context, node, attributes)];
  return [...new Map(rivals.map((rival) => [rival.key, rival])).values()];
}

function outdoes(context: Context, rank: Rank, lease: StateRecord<"lease">): boolean {
  const deadline = context.draft.get("deadline", lease.key)?.body;
  return isGreater(rank, rankOfLease(clusterOf(context), lease, deadline));
}

/**
 * Ends a rival's lease. One that was granted in this epoch is believed in until its holder hears of
 * it, or its own time is up: the result says when that is for certain.
 */
function outdo(context: Context, rival: StateRecord<"lease">): number {
  const wasTold = isOfThisEpoch(clusterOf(context), rival);
  const untilMs = wasTold ? believedUntilMs(context, rival) : 0;
  const before = context.draft.get("deadline", rival.key)?.body.fencedUntilMs ?? 0;
  confiscate(context, rival);
  return Math.max(untilMs, before);
}

/** Who was put out after the lease was granted is not its holder any more. */
function refuseFreedLater(context: Context, command: Claim, rank: Rank): void {
  const { draft } = context;
  const cluster = clusterOf(context);
  for (const subnet of command.subnets.map(parsePrefix)) {
    for (const { key, body } of draft.all("freed")) {
      const waits = body.node !== command.node && body.quarantineEndsMs > draft.clockMs;
      if (!waits || !overlaps(parsePrefix(key), subnet)) continue;
      if (!isGreater(rank, rankOf(cluster, body.order))) throw taken(key, WAITING);
    }
  }
}

function refuseUnfit(context: Context, { subnets }: Claim): void {
  if (fits(context, subnets)) return;
  throw cannotBeClaimed(subnets, "it is outside the network as it is configured now");
}

function holdsOthers({ subnets }: Claim, held: StateRecord<"lease">): DenimError {
  return cannotBeClaimed(subnets, `the node holds ${held.body.subnets.join(", ")}`);
}

function cannotBeClaimed(subnets: readonly string[], why: string): DenimError {
  return new DenimError("LEASE_TAKEN", `${subnets.join(", ")} cannot be claimed`, { why });
}
