import type { Canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import { formatPrefix, overlaps, tryParsePrefix } from "../ip/prefix.ts";
import { fitsPool } from "./allocate.ts";
import type { CommandOf } from "./command.ts";
import { configOf, type Context } from "./context.ts";
import { refuseOnHold } from "./hold.ts";

/** Tokens that ended this long ago are forgotten when a new one is made. */
const TOKEN_MEMORY_MS = 7 * 86_400_000;

export function createToken(context: Context, command: CommandOf<"token.create">): Canonical {
  const { draft, wallMs } = context;
  const known = draft.get("token", command.tokenId);
  if (known !== undefined) {
    if (known.body.secretHash === command.secretHash) return null;
    throw new DenimError("REVISION_MISMATCH", `There is a token ${command.tokenId} already`);
  }
  for (const old of [...draft.all("token")]) {
    if (old.body.expiresWallMs < wallMs - TOKEN_MEMORY_MS) draft.delete("token", old.key);
  }
  draft.put("token", command.tokenId, {
    secretHash: command.secretHash,
    role: command.role,
    usesLeft: command.uses,
    expiresWallMs: command.expiresWallMs,
    ...(command.name === undefined ? {} : { name: command.name }),
    createdWallMs: wallMs,
  });
  return null;
}

export function revokeToken(context: Context, command: CommandOf<"token.revoke">): Canonical {
  if (context.draft.get("token", command.tokenId) === undefined) {
    throw new DenimError("NOT_FOUND", `There is no token ${command.tokenId}`);
  }
  context.draft.delete("token", command.tokenId);
  return null;
}

/** Sets a subnet aside, for a node's name or for nobody. */
export function putReservation(context: Context, command: CommandOf<"reservation.put">): Canonical {
  const { draft } = context;
  refuseOnHold(context, `${command.subnet} cannot be set aside now`);
  const subnet = tryParsePrefix(command.subnet);
  const pool = subnet && configOf(context).pools.find((pool) => fitsPool(pool, subnet));
  if (subnet === undefined || pool === undefined) {
    throw new DenimError("CONFIG_INVALID", `"${command.subnet}" is not a subnet of the network`);
  }
  for (const { body } of draft.all("lease")) {
    const holder = draft.get("node", body.node)?.body.name;
    const meets = body.subnets.some((text) => {
      const leased = tryParsePrefix(text);
      return leased !== undefined && overlaps(leased, subnet);
    });
    if (!meets || (holder !== undefined && holder === command.nodeName)) continue;
    throw new DenimError("LEASE_TAKEN", `${command.subnet} is taken`, {
      why: `it is leased to ${holder ?? body.node}`,
    });
  }
  const key = formatPrefix(subnet);
  const { nodeName } = command;
  draft.put("reservation", key, nodeName === undefined ? {} : { nodeName });
  return { subnet: key };
}

export function removeReservation(
  context: Context,
  command: CommandOf<"reservation.remove">,
): Canonical {
  const subnet = tryParsePrefix(command.subnet);
  const key = subnet === undefined ? command.subnet : formatPrefix(subnet);
  if (context.draft.get("reservation", key) === undefined) {
    throw new DenimError("NOT_FOUND", `${key} is not reserved`);
  }
  context.draft.delete("reservation", key);
  return null;
}
