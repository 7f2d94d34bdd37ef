/** Why nobody else may have a block, whatever asks for it. Blocks of every size count. */
import { DenimError } from "../base/errors.ts";
import { formatPrefix, overlaps, parsePrefix, type Prefix } from "../ip/prefix.ts";
import type { Context } from "./context.ts";
import type { ReservationBody, StateRecord } from "./records.ts";

/** Who wants a block; what is its own already is not in its way. */
export interface Claimant {
  readonly nodeId?: string | undefined;
  readonly name?: string | undefined;
}

/** @throws `LEASE_TAKEN` if the block is leased, waits, or is reserved, but for the claimant */
export function refuseTaken(context: Context, subnet: Prefix, claimant: Claimant): void {
  refuseLeased(context, subnet, claimant);
  refuseWaiting(context, subnet, claimant);
  refuseReserved(context, subnet, claimant);
}

export function refuseLeased(context: Context, subnet: Prefix, { nodeId }: Claimant): void {
  for (const lease of context.draft.all("lease")) {
    if (lease.body.node === nodeId || !lease.body.subnets.some(meets(subnet))) continue;
    throw taken(formatPrefix(subnet), leasedTo(context, lease));
  }
}

export function refuseWaiting({ draft }: Context, subnet: Prefix, { nodeId }: Claimant): void {
  for (const { key, body } of draft.all("freed")) {
    const waits = body.node !== nodeId && body.quarantineEndsMs > draft.clockMs;
    if (waits && meets(subnet)(key)) throw taken(formatPrefix(subnet), WAITING);
  }
}

export function refuseReserved({ draft }: Context, subnet: Prefix, { name }: Claimant): void {
  for (const { key, body } of draft.all("reservation")) {
    const isOwn = body.nodeName !== undefined && body.nodeName === name;
    if (isOwn || !meets(subnet)(key)) continue;
    throw taken(formatPrefix(subnet), `it is reserved for ${reservedFor(body)}`);
  }
}

export const WAITING = "it waits out the time in which its last holder may still use it";

export function leasedTo({ draft }: Context, { body }: StateRecord<"lease">): string {
  return `it is leased to ${draft.get("node", body.node)?.body.name ?? body.node}`;
}

export function reservedFor({ nodeName, tokenId }: ReservationBody): string {
  return nodeName ?? (tokenId === undefined ? "nobody" : `who joins with the token ${tokenId}`);
}

export function taken(text: string, why: string): DenimError {
  return new DenimError("LEASE_TAKEN", `${text} is taken`, { why });
}

function meets(subnet: Prefix): (text: string) => boolean {
  return (text) => overlaps(parsePrefix(text), subnet);
}
