import { type Canonical, canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import { formatPrefix, parsePrefix, tryParsePrefix } from "../ip/prefix.ts";
import { allocate, fitsPool } from "./allocate.ts";
import type { CommandOf, LeaseAnswer } from "./command.ts";
import { clusterOf, configOf, type Context, memberOf } from "./context.ts";
import { expiryQuarantineMs, removalMarginMs, ttlOf } from "./deadline.ts";
import { equalEpoch, type FreedBody, type LeaseAttributes, type StateRecord } from "./records.ts";
import { leaseOf } from "./state.ts";

/** Gives the node what it holds already, where that still fits the network; else a new lease. */
export function acquireLease(context: Context, command: CommandOf<"lease.acquire">): LeaseAnswer {
  memberOf(context, command.node);
  const held = leaseOf(context.draft, command.node);
  if (held !== undefined && fits(context, held.body.subnets)) {
    return extend(context, held, command.attributes);
  }
  const wish = [...(held?.body.subnets ?? []), ...(command.wish ?? [])];
  if (held !== undefined) free(context, held, { how: "released", quarantineEndsMs: 0 });
  return grant(context, command.node, command.attributes, wish);
}

export function renewLease(context: Context, command: CommandOf<"lease.renew">): Canonical {
  memberOf(context, command.node);
  const held = leaseOf(context.draft, command.node);
  if (held === undefined || !sameSubnets(held.body.subnets, command.subnets)) {
    throw new DenimError("LEASE_LOST", `The lease of ${command.subnets.join(", ")} has ended`, {
      why: held === undefined
        ? "it was not renewed in time, or was taken away"
        : `the node holds ${held.body.subnets.join(", ")}`,
      fix: "the node claims it again by itself",
    });
  }
  return extend(context, held, command.attributes);
}

/**
 * The way back for a holder whose lease ran out while nobody could hear it: the very same subnets,
 * or none. Another subnet would renumber its containers.
 */
export function claimLease(context: Context, command: CommandOf<"lease.claim">): Canonical {
  const { draft } = context;
  memberOf(context, command.node);
  const { epoch } = clusterOf(context);
  if (!equalEpoch(epoch, command.epoch)) {
    throw new DenimError("EPOCH_MISMATCH", "The lease belongs to another history of the cluster", {
      why: `it was granted in epoch ${command.epoch.n}, the cluster is in ${epoch.n}`,
    });
  }
  const held = leaseOf(draft, command.node);
  if (held !== undefined && sameSubnets(held.body.subnets, command.subnets)) {
    return extend(context, held, command.attributes);
  }
  for (const text of command.subnets) refuseIfTaken(context, command.node, text);
  if (held !== undefined || !fits(context, command.subnets)) {
    throw new DenimError("LEASE_TAKEN", `${command.subnets.join(", ")} cannot be claimed`, {
      why: held === undefined
        ? "it is outside the network as it is configured now"
        : `the node holds ${held.body.subnets.join(", ")}`,
    });
  }
  return put(context, command.node, command.attributes, command.subnets);
}

/** The holder itself gives it up: free at once. */
export function releaseLease(context: Context, command: CommandOf<"lease.release">): Canonical {
  const held = leaseOf(context.draft, command.node);
  if (held !== undefined && sameSubnets(held.body.subnets, command.subnets)) {
    free(context, held, { how: "released", quarantineEndsMs: 0 });
  }
  return null;
}

/**
 * Ends leases whose deadline has passed on the lease clock. Conditional twice, on the lease's
 * revision and on its deadline, so that an expiry decided by a leader that is none any more, or
 * overtaken by a renewal, does nothing.
 */
export function expireLeases(context: Context, command: CommandOf<"lease.expire">): Canonical {
  const { draft } = context;
  const expired: string[] = [];
  for (const { key, revision } of command.leases) {
    const lease = draft.get("lease", key);
    const deadline = draft.get("deadline", key);
    if (lease === undefined || lease.modRevision !== revision) continue;
    if (deadline !== undefined && deadline.body.deadlineMs > draft.clockMs) continue;
    const node = draft.get("node", lease.body.node);
    const ttlMs = ttlOf(configOf(context).leaseTtlMs, node?.body.ephemeral === true);
    if (node?.body.ephemeral) {
      free(context, lease, removal(context, key, ttlMs));
      draft.delete("node", node.key);
    } else {
      const quarantineEndsMs = draft.clockMs + expiryQuarantineMs(ttlMs);
      free(context, lease, { how: "expired", quarantineEndsMs });
    }
    expired.push(key);
  }
  return expired;
}

/** A new lease, chosen by the allocator. @throws `POOL_EXHAUSTED` `PUBLIC_IP_TAKEN` */
function grant(
  context: Context,
  nodeId: string,
  attributes: LeaseAttributes,
  wish: readonly string[],
): LeaseAnswer {
  const { name } = memberOf(context, nodeId);
  const subnets = configOf(context).pools.map((pool) =>
    formatPrefix(allocate(context.draft, pool, { nodeId, name, wish }))
  );
  return put(context, nodeId, attributes, subnets);
}

/** Takes a node's lease away by force: nobody gets the subnet while its holder may still use it. */
export function confiscate(context: Context, lease: StateRecord<"lease">): void {
  const ephemeral = context.draft.get("node", lease.body.node)?.body.ephemeral === true;
  free(context, lease, removal(context, lease.key, ttlOf(configOf(context).leaseTtlMs, ephemeral)));
}

/** The lease is freed at once: its holder says that it no longer uses it. */
export function giveBack(context: Context, lease: StateRecord<"lease">): void {
  free(context, lease, { how: "released", quarantineEndsMs: 0 });
}

function removal(context: Context, key: string, ttlMs: number): Ending {
  const { clockMs } = context.draft;
  const deadlineMs = context.draft.get("deadline", key)?.body.deadlineMs ?? clockMs;
  return {
    how: "removed",
    quarantineEndsMs: Math.max(deadlineMs, clockMs) + removalMarginMs(ttlMs),
  };
}

type Ending = Pick<FreedBody, "how" | "quarantineEndsMs">;

function free(context: Context, lease: StateRecord<"lease">, ending: Ending): void {
  const { draft } = context;
  draft.delete("lease", lease.key);
  draft.delete("deadline", lease.key);
  for (const subnet of lease.body.subnets) {
    draft.put("freed", subnet, { ...ending, node: lease.body.node, order: draft.index });
  }
}

function put(
  context: Context,
  nodeId: string,
  attributes: LeaseAttributes,
  subnets: readonly string[],
): LeaseAnswer {
  const { draft } = context;
  refuseTakenAddress(context, nodeId, attributes);
  const key = subnets[0]!;
  for (const subnet of subnets) draft.delete("freed", subnet);
  const record = draft.put("lease", key, { ...attributes, node: nodeId, subnets });
  return settle(context, record);
}

function extend(
  context: Context,
  held: StateRecord<"lease">,
  attributes: LeaseAttributes | undefined,
): LeaseAnswer {
  if (attributes === undefined) return settle(context, held);
  const body = { ...attributes, node: held.body.node, subnets: held.body.subnets };
  if (canonical(body as unknown as Canonical) === canonical(held.body as unknown as Canonical)) {
    return settle(context, held);
  }
  refuseTakenAddress(context, held.body.node, attributes);
  return settle(context, context.draft.put("lease", held.key, body));
}

/** Moves the deadline and tells the holder what it has. */
function settle(context: Context, lease: StateRecord<"lease">): LeaseAnswer {
  const { draft } = context;
  const { ephemeral } = memberOf(context, lease.body.node);
  const ttlMs = ttlOf(configOf(context).leaseTtlMs, ephemeral === true);
  draft.put("deadline", lease.key, { deadlineMs: draft.clockMs + ttlMs });
  return {
    node: lease.body.node,
    subnets: lease.body.subnets,
    revision: lease.modRevision,
    ttlMs,
    epoch: clusterOf(context).epoch,
  };
}

/** Two hosts behind one address would send each other's packets to themselves. */
function refuseTakenAddress(context: Context, nodeId: string, attributes: LeaseAttributes): void {
  for (const { body } of context.draft.all("lease")) {
    if (body.node === nodeId) continue;
    const taken = [body.publicIp, body.publicIpv6].find((ip) =>
      ip !== undefined && (ip === attributes.publicIp || ip === attributes.publicIpv6)
    );
    if (taken === undefined) continue;
    const holder = context.draft.get("node", body.node)?.body.name ?? body.node;
    throw new DenimError("PUBLIC_IP_TAKEN", `${taken} is the public address of ${holder}`, {
      why: `${holder} holds ${body.subnets.join(", ")} under this address`,
      fix: "choose another interface (--iface, --public-ip), " +
        `or take that node's place: --replace ${holder}`,
    });
  }
}

function refuseIfTaken(context: Context, nodeId: string, text: string): void {
  const { draft } = context;
  for (const { body } of draft.all("lease")) {
    if (body.node === nodeId || !body.subnets.includes(text)) continue;
    throw taken(text, `it is leased to ${draft.get("node", body.node)?.body.name ?? body.node}`);
  }
  const freed = draft.get("freed", text)?.body;
  if (freed !== undefined && freed.node !== nodeId && freed.quarantineEndsMs > draft.clockMs) {
    throw taken(text, "it waits out the time in which its last holder may still use it");
  }
  const reservation = draft.get("reservation", text)?.body;
  const name = draft.get("node", nodeId)?.body.name;
  if (reservation !== undefined && reservation.nodeName !== name) {
    throw taken(text, `it is reserved for ${reservation.nodeName ?? "nobody"}`);
  }
}

function taken(text: string, why: string): DenimError {
  return new DenimError("LEASE_TAKEN", `${text} is taken`, { why });
}

function fits(context: Context, subnets: readonly string[]): boolean {
  const { pools } = configOf(context);
  return pools.length === subnets.length && pools.every((pool, i) => {
    const subnet = tryParsePrefix(subnets[i]!);
    return subnet !== undefined && fitsPool(pool, subnet) &&
      formatPrefix(parsePrefix(subnets[i]!)) === subnets[i];
  });
}

function sameSubnets(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((subnet, i) => subnet === b[i]);
}
