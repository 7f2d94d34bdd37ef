import type { Canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import { formatPrefix, parsePrefix } from "../ip/prefix.ts";
import { allocate, isFree } from "./allocate.ts";
import type { CommandOf, LeaseAnswer } from "./command.ts";
import { clusterOf, configOf, type Context, memberOf } from "./context.ts";
import { isOfThisEpoch, refuseOnHold, theHold } from "./hold.ts";
import type { LeaseAttributes } from "./records.ts";
import { movesOf } from "./reservation-commands.ts";
import { leaseOf } from "./state.ts";
import { refuseTaken } from "./taken.ts";
import { confiscate, extend, fits, giveBack, put, sameSubnets } from "./tenure.ts";

/**
 * Gives the node what it holds already, where that still fits the network and nobody has asked it
 * to change over; else a new lease.
 */
export function acquireLease(context: Context, command: CommandOf<"lease.acquire">): LeaseAnswer {
  const { name } = memberOf(context, command.node);
  const held = leaseOf(context.draft, command.node);
  const stands = held !== undefined && isOfThisEpoch(clusterOf(context), held);
  if (!stands) refuseOnHold(context, "No lease can be granted now");
  const moves = movesNow(context, { nodeId: command.node, name }, held?.body.subnets);
  if (held !== undefined && moves.length === 0 && fits(context, held.body.subnets)) {
    return extend(context, held, command.attributes);
  }
  const wish = [...moves, ...(held?.body.subnets ?? []), ...(command.wish ?? [])];
  // Until the answer has reached it, the node goes on using what it held.
  if (held !== undefined) confiscate(context, held);
  return grant(context, command.node, command.attributes, wish);
}

export function renewLease(context: Context, command: CommandOf<"lease.renew">): Canonical {
  const { draft } = context;
  memberOf(context, command.node);
  const held = leaseOf(draft, command.node);
  const same = held !== undefined && sameSubnets(held.body.subnets, command.subnets);
  if (theHold(draft) !== undefined && !(same && isOfThisEpoch(clusterOf(context), held))) {
    throw unclaimed(command.subnets);
  }
  if (!same) {
    throw new DenimError("LEASE_LOST", `The lease of ${command.subnets.join(", ")} has ended`, {
      why: held === undefined
        ? "it was not renewed in time, or was taken away"
        : `the node holds ${held.body.subnets.join(", ")}`,
      fix: "the node claims it again by itself",
    });
  }
  return extend(context, held, command.attributes);
}

/** What was granted in an earlier epoch may have gone to another node since. */
function unclaimed(subnets: readonly string[]): DenimError {
  return new DenimError("EPOCH_MISMATCH", `${subnets.join(", ")} has to be claimed first`, {
    why: "the lease is not of the epoch that the cluster is in",
    fix: "the node claims it by itself",
  });
}

/**
 * The holder itself gives it up: free at once. With the lease's revision a release that was held
 * up on its way cannot end the next lease of the same subnets.
 */
export function releaseLease(context: Context, command: CommandOf<"lease.release">): Canonical {
  const held = leaseOf(context.draft, command.node);
  if (held === undefined || !sameSubnets(held.body.subnets, command.subnets)) return null;
  if (command.revision !== undefined && command.revision !== held.modRevision) return null;
  giveBack(context, held);
  return null;
}

/**
 * Where the node has been asked to change over to, and can. Who holds nothing waits until it can:
 * it is to get that subnet and no other.
 */
function movesNow(
  context: Context,
  applicant: { readonly nodeId: string; readonly name: string },
  held: readonly string[] | undefined,
): string[] {
  if (theHold(context.draft) !== undefined) return [];
  const { pools } = configOf(context);
  return movesOf(context.draft, applicant.nodeId, held ?? []).filter((text) => {
    const subnet = parsePrefix(text);
    if (held === undefined) refuseTaken(context, subnet, applicant);
    return pools.some((pool) => isFree(context.draft, pool, { ...applicant, wish: [] }, subnet));
  });
}

/** A new lease, chosen by the allocator. @throws `ON_HOLD` `POOL_EXHAUSTED` `PUBLIC_IP_TAKEN` */
function grant(
  context: Context,
  nodeId: string,
  attributes: LeaseAttributes,
  wish: readonly string[],
): LeaseAnswer {
  refuseOnHold(context, "No subnet can be given out now");
  const { name } = memberOf(context, nodeId);
  const subnets = configOf(context).pools.map((pool) =>
    formatPrefix(allocate(context.draft, pool, { nodeId, name, wish }))
  );
  return put(context, nodeId, attributes, subnets);
}
