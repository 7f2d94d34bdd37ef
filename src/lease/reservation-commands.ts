import type { Canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import { formatPrefix, parsePrefix, type Prefix, tryParsePrefix } from "../ip/prefix.ts";
import { fitsPool } from "./allocate.ts";
import type { CommandOf } from "./command.ts";
import { configOf, type Context, findNode } from "./context.ts";
import { refuseOnHold } from "./hold.ts";
import type { StateRecord } from "./records.ts";
import { leaseOf, nodeByName, type StateReader } from "./state.ts";
import { leasedTo, refuseLeased, refuseReserved, refuseTaken } from "./taken.ts";

/** Sets a subnet aside, for a node's name or for nobody. Its holder may have it set aside, too. */
export function putReservation(context: Context, command: CommandOf<"reservation.put">): Canonical {
  const { draft } = context;
  const { nodeName } = command;
  refuseOnHold(context, `${command.subnet} cannot be set aside now`);
  const subnet = subnetOfPool(context, command.subnet);
  const key = formatPrefix(subnet);
  const holder = nodeName === undefined ? undefined : nodeByName(draft, nodeName)?.key;
  refuseLeased(context, subnet, { nodeId: holder });
  const known = draft.get("reservation", key)?.body;
  if (known !== undefined && known.nodeName === nodeName && known.tokenId === undefined) {
    return { subnet: key };
  }
  if (command.ifFree || known?.tokenId !== undefined) {
    refuseReserved(context, subnet, { name: nodeName });
  }
  draft.put("reservation", key, nodeName === undefined ? {} : { nodeName });
  return { subnet: key };
}

/** Gives a reservation back; the lease of a subnet that is held goes on without it. */
export function removeReservation(
  context: Context,
  command: CommandOf<"reservation.remove">,
): Canonical {
  const { draft } = context;
  const subnet = tryParsePrefix(command.subnet);
  const key = subnet === undefined ? command.subnet : formatPrefix(subnet);
  const reservation = draft.get("reservation", key);
  if (reservation === undefined) throw notReserved(context, key);
  const { tokenId } = reservation.body;
  if (tokenId !== undefined) {
    throw new DenimError("REVISION_MISMATCH", `${key} is reserved by the token ${tokenId}`, {
      why: "who joins with the token is to get it",
      fix: `denim token revoke ${tokenId}`,
    });
  }
  draft.delete("reservation", key);
  return { subnet: key };
}

/**
 * Sets a subnet aside for a node and asks the node to change over to it. The lease that it has
 * stays until it does: nobody takes a subnet from a host that cannot hear of it.
 */
export function moveLease(context: Context, command: CommandOf<"lease.move">): Canonical {
  const { draft } = context;
  refuseOnHold(context, "No lease can be moved now");
  const { key: nodeId, body: { name } } = findNode(context, command.node);
  const subnet = subnetOfPool(context, command.subnet);
  const key = formatPrefix(subnet);
  const held = leaseOf(draft, nodeId)?.body.subnets ?? [];
  refuseTaken(context, subnet, { nodeId, name });
  for (const other of [...draft.all("reservation")]) {
    const isOwn = other.body.nodeName === name && other.key !== key;
    // It is to stay where it goes now, also after the next time that it joins.
    if (isOwn && parsePrefix(other.key).family === subnet.family) {
      draft.delete("reservation", other.key);
    }
  }
  const moves = held.includes(key) ? {} : { moves: nodeId };
  draft.put("reservation", key, { nodeName: name, ...moves });
  return { node: nodeId, name, subnet: key, from: held };
}

/** What a node has been asked to change over to, and does not hold. */
export function movesOf(state: StateReader, nodeId: string, held: readonly string[]): string[] {
  return state.find("reservationByMover", nodeId).map(({ key }) => key)
    .filter((subnet) => !held.includes(subnet));
}

/** Reservations of tokens that let nobody in any more. */
export function endReservations({ draft, wallMs }: Context): null {
  for (const { key, body } of [...draft.all("reservation")]) {
    if (body.tokenId === undefined) continue;
    const token = draft.get("token", body.tokenId)?.body;
    if (token === undefined || token.expiresWallMs <= wallMs) draft.delete("reservation", key);
  }
  return null;
}

/** @throws `CONFIG_INVALID` on what the network, as it is configured now, could not give out */
export function subnetOfPool(context: Context, text: string): Prefix {
  const subnet = tryParsePrefix(text);
  if (subnet !== undefined && configOf(context).pools.some((pool) => fitsPool(pool, subnet))) {
    return subnet;
  }
  throw new DenimError("CONFIG_INVALID", `"${text}" is not a subnet of the network`, {
    fix: "denim network show has its range and the length of a subnet",
  });
}

/** Somebody wants it free: why it is not, and what would make it so. */
function notReserved(context: Context, key: string): DenimError {
  const { draft } = context;
  const lease = draft.find("leaseBySubnet", key)[0];
  if (lease !== undefined) return leased(context, key, lease);
  const freed = draft.get("freed", key)?.body;
  if (freed === undefined || freed.quarantineEndsMs <= draft.clockMs) {
    return new DenimError("NOT_FOUND", `${key} is not reserved`);
  }
  const endsWallMs = context.wallMs + freed.quarantineEndsMs - draft.clockMs;
  const last = draft.get("tombstone", freed.node)?.body.name ??
    draft.get("node", freed.node)?.body.name;
  return new DenimError("LEASE_TAKEN", `${key} is not reserved: it waits`, {
    why: `${last ?? "its last holder"} may still use it until ${toIso(endsWallMs)}`,
    fix: "wait: it is free by itself then",
  });
}

function leased(context: Context, key: string, lease: StateRecord<"lease">): DenimError {
  const node = context.draft.get("node", lease.body.node)?.body;
  const name = node?.name ?? lease.body.node;
  return new DenimError("LEASE_TAKEN", `${key} is not reserved: it is in use`, {
    why: leasedTo(context, lease) + (node?.silent ? ", which nobody hears" : ""),
    fix: node?.silent
      ? `if ${name} is gone for good: denim node rm ${name}; the subnet is free once its lease is over`
      : `denim leave on ${name}, or give it another: denim lease move ${name} SUBNET`,
  });
}

function toIso(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
