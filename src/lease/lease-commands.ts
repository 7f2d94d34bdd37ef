import { type Canonical, canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import { formatPrefix, overlaps, parsePrefix, type Prefix, tryParsePrefix } from "../ip/prefix.ts";
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
  // Until the answer has reached it, the node goes on using what it held.
  if (held !== undefined) confiscate(context, held);
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
  for (const text of command.subnets) refuseTaken(context, command.node, parsePrefix(text));
  if (held !== undefined || !fits(context, command.subnets)) {
    throw new DenimError("LEASE_TAKEN", `${command.subnets.join(", ")} cannot be claimed`, {
      why: held === undefined
        ? "it is outside the network as it is configured now"
        : `the node holds ${held.body.subnets.join(", ")}`,
    });
  }
  return put(context, command.node, command.attributes, command.subnets);
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
  const { draft } = context;
  const deadlineMs = draft.get("deadline", lease.key)?.body.deadlineMs ?? draft.clockMs;
  const marginMs = removalMarginMs(ttlFor(context, lease));
  const quarantineEndsMs = Math.max(deadlineMs, draft.clockMs) + marginMs;
  free(context, lease, { how: "removed", quarantineEndsMs });
}

/** The lease is freed at once: its holder says that it no longer uses it. */
export function giveBack(context: Context, lease: StateRecord<"lease">): void {
  free(context, lease, { how: "released", quarantineEndsMs: 0 });
}

/** Nobody renewed it in time: the subnet waits, for its holder may be there with a slow clock. */
export function expire(context: Context, lease: StateRecord<"lease">): void {
  const quarantineEndsMs = context.draft.clockMs + expiryQuarantineMs(ttlFor(context, lease));
  free(context, lease, { how: "expired", quarantineEndsMs });
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

/**
 * Moves the deadline and tells the holder what it has. Where the TTL was shortened the deadline
 * stays: until this answer has reached it, the holder goes by the TTL that it was told before.
 */
function settle(context: Context, lease: StateRecord<"lease">): LeaseAnswer {
  const { draft } = context;
  const ttlMs = ttlFor(context, lease);
  const promisedMs = draft.get("deadline", lease.key)?.body.deadlineMs ?? 0;
  const deadlineMs = Math.max(promisedMs, draft.clockMs + ttlMs);
  draft.put("deadline", lease.key, { deadlineMs });
  return {
    node: lease.body.node,
    subnets: lease.body.subnets,
    revision: lease.modRevision,
    ttlMs,
    epoch: clusterOf(context).epoch,
  };
}

function ttlFor(context: Context, lease: StateRecord<"lease">): number {
  const holder = context.draft.get("node", lease.body.node);
  return ttlOf(configOf(context).leaseTtlMs, holder?.body.ephemeral === true);
}

/** Two hosts behind one address would send each other's packets to themselves. */
function refuseTakenAddress(context: Context, nodeId: string, attributes: LeaseAttributes): void {
  const { draft } = context;
  for (const ip of [attributes.publicIp, attributes.publicIpv6]) {
    if (ip === undefined) continue;
    const other = draft.find("leaseByAddress", ip).find(({ body }) => body.node !== nodeId)?.body;
    if (other === undefined) continue;
    const holder = draft.get("node", other.node)?.body.name ?? other.node;
    throw new DenimError("PUBLIC_IP_TAKEN", `${ip} is the public address of ${holder}`, {
      why: `${holder} holds ${other.subnets.join(", ")} under this address`,
      fix: "choose another interface (--iface, --public-ip), " +
        `or take that node's place: --replace ${holder}`,
    });
  }
}

/** Blocks of every size count: the network may have been cut up differently before. */
function refuseTaken({ draft }: Context, nodeId: string, subnet: Prefix): void {
  const meets = (text: string) => overlaps(parsePrefix(text), subnet);
  const text = formatPrefix(subnet);
  for (const { body } of draft.all("lease")) {
    if (body.node === nodeId || !body.subnets.some(meets)) continue;
    throw taken(text, `it is leased to ${draft.get("node", body.node)?.body.name ?? body.node}`);
  }
  for (const { key, body } of draft.all("freed")) {
    if (body.node === nodeId || body.quarantineEndsMs <= draft.clockMs || !meets(key)) continue;
    throw taken(text, "it waits out the time in which its last holder may still use it");
  }
  const name = draft.get("node", nodeId)?.body.name;
  for (const { key, body } of draft.all("reservation")) {
    if (body.nodeName === name || !meets(key)) continue;
    throw taken(text, `it is reserved for ${body.nodeName ?? "nobody"}`);
  }
}

function taken(text: string, why: string): DenimError {
  return new DenimError("LEASE_TAKEN", `${text} is taken`, { why });
}

function fits(context: Context, subnets: readonly string[]): boolean {
  const { pools } = configOf(context);
  return pools.length === subnets.length && pools.every((pool, i) => {
    const subnet = tryParsePrefix(subnets[i]!);
    return subnet !== undefined && fitsPool(pool, subnet) && formatPrefix(subnet) === subnets[i];
  });
}

function sameSubnets(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((subnet, i) => subnet === b[i]);
}
