/** How a lease begins, goes on and ends, whatever command asks for it. */
import { type Canonical, canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import { formatPrefix, tryParsePrefix } from "../ip/prefix.ts";
import { fitsPool } from "./allocate.ts";
import type { LeaseAnswer } from "./command.ts";
import { clusterOf, configOf, type Context } from "./context.ts";
import { expiryQuarantineMs, removalMarginMs, ttlOf } from "./deadline.ts";
import { theHold } from "./hold.ts";
import type { DeadlineBody, FreedBody, LeaseAttributes, StateRecord } from "./records.ts";

/** Gives subnets that nobody else may hold. @throws `PUBLIC_IP_TAKEN` */
export function put(
  context: Context,
  nodeId: string,
  attributes: LeaseAttributes,
  subnets: readonly string[],
  more: Pick<DeadlineBody, "claim" | "fencedUntilMs"> = {},
): LeaseAnswer {
  const { draft } = context;
  refuseTakenAddress(context, nodeId, attributes);
  const key = subnets[0]!;
  for (const subnet of subnets) draft.delete("freed", subnet);
  const record = draft.put("lease", key, { ...attributes, node: nodeId, subnets });
  return settle(context, record, more);
}

/** The lease goes on. Only other attributes give it a new revision. @throws `PUBLIC_IP_TAKEN` */
export function extend(
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
 * stays: until this answer has reached it, the holder goes by the TTL that it was told before. A
 * holder that is fenced by the cluster itself is told a TTL of nothing.
 */
function settle(
  context: Context,
  lease: StateRecord<"lease">,
  more: Pick<DeadlineBody, "claim" | "fencedUntilMs"> = {},
): LeaseAnswer {
  const { draft } = context;
  const ttlMs = ttlFor(context, lease);
  const { deadlineMs: promisedMs = 0, ...before } = draft.get("deadline", lease.key)?.body ?? {};
  const deadlineMs = Math.max(
    promisedMs,
    draft.clockMs + ttlMs,
    theHold(draft)?.endsMs ?? 0,
  );
  const { fencedUntilMs = 0, ...claim } = { ...before, ...more };
  const fenced = fencedUntilMs > draft.clockMs;
  draft.put("deadline", lease.key, {
    deadlineMs,
    ...claim,
    ...(fenced ? { fencedUntilMs } : {}),
  });
  return {
    node: lease.body.node,
    subnets: lease.body.subnets,
    revision: lease.modRevision,
    ttlMs: fenced ? 0 : ttlMs,
    epoch: clusterOf(context).epoch,
  };
}

/** Takes a node's lease away by force: nobody gets the subnet while its holder may still use it. */
export function confiscate(context: Context, lease: StateRecord<"lease">): void {
  free(context, lease, {
    how: "removed",
    quarantineEndsMs: believedUntilMs(context, lease),
  });
}

/** From then on, on the lease clock, the holder cannot take the lease for its own any more. */
export function believedUntilMs(context: Context, lease: StateRecord<"lease">): number {
  const { draft } = context;
  const deadlineMs = draft.get("deadline", lease.key)?.body.deadlineMs ?? draft.clockMs;
  return Math.max(deadlineMs, draft.clockMs) + removalMarginMs(ttlFor(context, lease));
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

/**
 * A server does not renew while it waits to be let out of the group. If its lease ran out on that
 * way, its subnets are as free now as if it had not.
 *
 * @returns those that nobody else has set aside
 */
export function giveBackExpired({ draft }: Context, node: string): readonly string[] {
  const expired = [...draft.all("freed")]
    .filter(({ body }) => body.node === node && body.how === "expired");
  for (const { key, body } of expired) {
    draft.put("freed", key, { ...body, how: "released", quarantineEndsMs: 0 });
  }
  const last = Math.max(...expired.map(({ body }) => body.order));
  return expired
    .filter(({ key, body }) => body.order === last && draft.get("reservation", key) === undefined)
    .map(({ key }) => key);
}

type Ending = Pick<FreedBody, "how" | "quarantineEndsMs">;

function free(context: Context, lease: StateRecord<"lease">, ending: Ending): void {
  const { draft } = context;
  const fencedUntilMs = draft.get("deadline", lease.key)?.body.fencedUntilMs ?? 0;
  // Somebody before this holder may still believe in it: then this one, too, has to wait.
  const freed: Omit<FreedBody, "order"> = fencedUntilMs > draft.clockMs
    ? {
      how: "removed",
      quarantineEndsMs: Math.max(ending.quarantineEndsMs, fencedUntilMs),
      node: NOBODY,
    }
    : { ...ending, node: lease.body.node };
  draft.delete("lease", lease.key);
  draft.delete("deadline", lease.key);
  for (const subnet of lease.body.subnets) {
    draft.put("freed", subnet, { ...freed, order: draft.index });
  }
}

/** No node has this id. */
const NOBODY = "";

function ttlFor(context: Context, lease: StateRecord<"lease">): number {
  const holder = context.draft.get("node", lease.body.node);
  return ttlOf(configOf(context).leaseTtlMs, holder?.body.ephemeral === true);
}

/** Leases of other nodes under the same public address. */
export function sharingAddress(
  { draft }: Context,
  nodeId: string,
  { publicIp, publicIpv6 }: LeaseAttributes,
): StateRecord<"lease">[] {
  return [publicIp, publicIpv6].flatMap((ip) =>
    ip === undefined
      ? []
      : draft.find("leaseByAddress", ip).filter(({ body }) => body.node !== nodeId)
  );
}

/** Two hosts behind one address would send each other's packets to themselves. */
function refuseTakenAddress(context: Context, nodeId: string, attributes: LeaseAttributes): void {
  const { draft } = context;
  const other = sharingAddress(context, nodeId, attributes)[0]?.body;
  if (other === undefined) return;
  const ip = [other.publicIp, other.publicIpv6]
    .find((ip) => ip === attributes.publicIp || ip === attributes.publicIpv6);
  const holder = draft.get("node", other.node)?.body.name ?? other.node;
  throw new DenimError("PUBLIC_IP_TAKEN", `${ip} is the public address of ${holder}`, {
    why: `${holder} holds ${other.subnets.join(", ")} under this address`,
    fix: "choose another interface (--iface, --public-ip), " +
      `or take that node's place: --replace ${holder}`,
  });
}

/** True when the network, as it is configured now, has these subnets. */
export function fits(context: Context, subnets: readonly string[]): boolean {
  const { pools } = configOf(context);
  return pools.length === subnets.length && pools.every((pool, i) => {
    const subnet = tryParsePrefix(subnets[i]!);
    return subnet !== undefined && fitsPool(pool, subnet) && formatPrefix(subnet) === subnets[i];
  });
}

export function sameSubnets(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((subnet, i) => subnet === b[i]);
}
