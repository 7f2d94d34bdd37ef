import type { Canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import { formatPrefix, parsePrefix } from "../ip/prefix.ts";
import type { CommandOf } from "./command.ts";
import type { Context } from "./context.ts";
import { refuseOnHold } from "./hold.ts";
import type { TokenBody } from "./records.ts";
import { subnetOfPool } from "./reservation-commands.ts";
import { refuseTaken } from "./taken.ts";

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
  const { from, ephemeral } = command;
  const subnet = command.subnet === undefined ? undefined : setAside(context, command);
  draft.put("token", command.tokenId, {
    secretHash: command.secretHash,
    role: command.role,
    usesLeft: command.uses,
    expiresWallMs: command.expiresWallMs,
    ...(command.node === undefined ? {} : { node: command.node }),
    ...(command.name === undefined ? {} : { name: command.name }),
    ...(from === undefined ? {} : { from: from.map((block) => formatPrefix(parsePrefix(block))) }),
    ...(subnet === undefined ? {} : { subnet }),
    ...(ephemeral ? { ephemeral } : {}),
    createdWallMs: wallMs,
  });
  return null;
}

/** The subnet of a token is nobody else's from now on, and free to be given. */
function setAside(context: Context, command: CommandOf<"token.create">): string {
  refuseOnHold(context, `${command.subnet} cannot be set aside now`);
  if (command.uses !== 1) {
    throw new DenimError("CONFIG_INVALID", "A token with a subnet is for one host", {
      fix: "denim token create --uses 1 --subnet SUBNET, once for each host",
    });
  }
  const subnet = subnetOfPool(context, command.subnet!);
  refuseTaken(context, subnet, {});
  const key = formatPrefix(subnet);
  context.draft.put("reservation", key, { tokenId: command.tokenId });
  return key;
}

/** Nobody else gets in by it, and what it had set aside is free. */
export function revokeToken(context: Context, command: CommandOf<"token.revoke">): Canonical {
  const { draft, wallMs } = context;
  const token = draft.get("token", command.tokenId)?.body;
  if (token === undefined) {
    throw new DenimError("NOT_FOUND", `There is no token ${command.tokenId}`);
  }
  if (token.revokedWallMs !== undefined) return null;
  draft.put("token", command.tokenId, { ...token, revokedWallMs: wallMs });
  if (token.subnet === undefined) return null;
  const reservation = draft.get("reservation", token.subnet);
  if (reservation?.body.tokenId === command.tokenId) draft.delete("reservation", token.subnet);
  return null;
}

/**
 * Why a token whose secret was right lets nobody in now. Asked before a joiner makes its checks,
 * and again by the entry, whose word counts.
 *
 * @throws `TOKEN_REVOKED` `TOKEN_EXPIRED` `TOKEN_USED`
 */
export function refuseSpent(token: TokenBody, wallMs: number): void {
  refuseRevoked(token);
  if (token.expiresWallMs <= wallMs) {
    throw new DenimError("TOKEN_EXPIRED", "The token has expired", {
      why: `it was good until ${new Date(token.expiresWallMs).toISOString()}`,
      fix: "make a new one on a server: denim token create --ttl 1h",
    });
  }
  if (token.usesLeft === 0) {
    throw new DenimError("TOKEN_USED", "The token has been used up", {
      why: "a token lets in as many hosts as it was made for, by default one",
      fix: "make a new one on a server: denim token create --uses N",
    });
  }
}

/** Also for who comes again: that the token is out of use may be said because of him. */
export function refuseRevoked({ revokedWallMs }: TokenBody): void {
  if (revokedWallMs === undefined) return;
  throw new DenimError("TOKEN_REVOKED", "The token was revoked", {
    why: `somebody ended it on ${new Date(revokedWallMs).toISOString()}`,
    fix: "make a new one on a server: denim token create",
  });
}

/** Takes one use. @throws what {@link refuseSpent} does; `TOKEN_UNKNOWN` */
export function spend({ draft, wallMs }: Context, tokenId: string): TokenBody {
  const token = draft.get("token", tokenId)?.body;
  if (token === undefined) throw unknownToken();
  refuseSpent(token, wallMs);
  const { usesLeft } = token;
  if (usesLeft !== null) draft.put("token", tokenId, { ...token, usesLeft: usesLeft - 1 });
  return token;
}

export function unknownToken(): DenimError {
  return new DenimError("TOKEN_UNKNOWN", "The cluster does not know this token", {
    why: "it ended a week ago or more, or was made in what a recovery has lost",
    fix: "make a new one on a server: denim token create",
  });
}
