/**
 * The steps from one CA to the next. Each waits for every node, so that at no time there are two
 * nodes of which one shows what the other does not believe: first all believe both CAs, then all
 * show certificates of the new one, then the old one is forgotten.
 */
import type { Canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import type { CommandOf } from "./command.ts";
import type { Context } from "./context.ts";
import { refuseOnHold } from "./hold.ts";
import { SINGLE } from "./records.ts";
import { revokeToken } from "./token-commands.ts";
import { type Rotation, rotationOf, theTrust } from "./trust.ts";

const WHAT = "The CA cannot be changed now";

/** From now on the next CA is believed as well. */
export function addCa(context: Context, command: CommandOf<"ca.add">): Canonical {
  const { draft } = context;
  const { former, next } = command;
  const trust = theTrust(draft);
  if (trust?.cas.some(({ id }) => id === next.id)) return null;
  refuseOnHold(context, WHAT);
  if (rotationOf(draft) !== undefined) {
    throw new DenimError("REVISION_MISMATCH", "The CA is being changed already", {
      why: "one change has to be through before the next begins",
      fix: "look how far it is: denim ca show",
    });
  }
  const present = trust?.cas[0] ?? former;
  if (present.id !== former.id) {
    throw new DenimError("REVISION_MISMATCH", "The CA has been changed meanwhile", {
      fix: "look who signs now: denim ca show",
    });
  }
  draft.put("trust", SINGLE, { cas: [present, next], signer: present.id });
  return null;
}

/** From now on the next CA signs. Who joins checks who signs: tokens of before are void. */
export function useCa(context: Context, command: CommandOf<"ca.use">): Canonical {
  const { draft } = context;
  const trust = theTrust(draft);
  if (trust?.signer === command.ca) return { tokens: 0 };
  const { next } = through(context, "spreading", (rotation) => rotation.next.id === command.ca);
  const tokens = [...draft.all("token")].filter(({ body }) => body.revokedWallMs === undefined);
  for (const { key } of tokens) revokeToken(context, { kind: "token.revoke", tokenId: key });
  draft.put("trust", SINGLE, { ...trust!, signer: next.id });
  return { tokens: tokens.length };
}

/** From now on the former CA is not believed any more. */
export function dropCa(context: Context, command: CommandOf<"ca.drop">): Canonical {
  const { draft } = context;
  const trust = theTrust(draft);
  if (trust !== undefined && !trust.cas.some(({ id }) => id === command.ca)) return null;
  const { next } = through(context, "renewing", ({ former }) => former.id === command.ca);
  draft.put("trust", SINGLE, { cas: [next], signer: next.id });
  return null;
}

/** Nodes that nobody hears are not waited for: until they come back by a token. */
export function leaveSilentBehind({ draft }: Context): Canonical {
  const trust = theTrust(draft);
  if (trust === undefined || rotationOf(draft) === undefined) {
    throw new DenimError("NOT_FOUND", "The CA is not being changed");
  }
  draft.put("trust", SINGLE, { ...trust, leavesSilent: true });
  return null;
}

/** The rotation that is meant, if its phase is over. @throws `REVISION_MISMATCH` `ON_HOLD` */
function through(
  context: Context,
  phase: Rotation["phase"],
  isMeant: (rotation: Rotation) => boolean,
): Rotation {
  refuseOnHold(context, WHAT);
  const rotation = rotationOf(context.draft);
  if (rotation === undefined || rotation.phase !== phase || !isMeant(rotation)) {
    throw new DenimError("REVISION_MISMATCH", "The CA is not being changed in that way");
  }
  const { missing } = rotation;
  if (missing.length === 0) return rotation;
  throw new DenimError("REVISION_MISMATCH", `${missing.length} nodes have not followed yet`, {
    why: `for example ${missing.slice(0, 3).map(({ body }) => body.name).join(", ")}`,
  });
}
