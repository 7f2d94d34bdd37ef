import { createHash, timingSafeEqual } from "node:crypto";
import { concat, equalBytes, hex } from "../base/bytes.ts";
import { assert, DenimError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { decodeCrockford, encodeCrockford } from "./crockford.ts";

/** What the bearer may become: `agent` only watches, `server` may hold the log. */
export type TokenRole = "agent" | "server";

/**
 * A permission to join, in one word of 78 characters that a double click selects:
 * `denim1_` and 44 bytes in Crockford's base 32.
 */
export interface Token {
  readonly role: TokenRole;
  /** The first 160 bits of the SHA-256 of the CA's public key; see `caPin` in `pki.ts`. */
  readonly caPin: Uint8Array;
  /** Public: names the token in lists and logs. Eight letters. */
  readonly id: string;
  /** 128 bits. Never stored; the cluster keeps {@link hashSecret} of it. */
  readonly secret: Uint8Array;
}

/** A token without its secret: what may be shown. */
export interface TokenView {
  readonly role: TokenRole;
  readonly id: string;
  /** Hex. */
  readonly caPin: string;
}

export const PIN_BYTES = 20;
const PREFIX = "denim1_";
const VERSION = 1;
const ROLES: readonly TokenRole[] = ["agent", "server"];
const ID_BYTES = 5;
const SECRET_BYTES = 16;
const SUM_BYTES = 2;
const BODY_BYTES = 1 + PIN_BYTES + ID_BYTES + SECRET_BYTES;

export function createToken(role: TokenRole, caPin: Uint8Array, random: Random): Token {
  const id = encodeCrockford(random.bytes(ID_BYTES));
  return { role, caPin, id, secret: random.bytes(SECRET_BYTES) };
}

export function encodeToken(token: Token): string {
  const id = decodeCrockford(token.id, ID_BYTES);
  assert(id !== undefined, "a token id is eight letters of base 32");
  assert(token.caPin.length === PIN_BYTES, "a CA pin has 160 bits");
  assert(token.secret.length === SECRET_BYTES, "a token secret has 128 bits");
  const head = Uint8Array.of((VERSION << 4) | ROLES.indexOf(token.role));
  const body = concat(head, token.caPin, id, token.secret);
  return PREFIX + encodeCrockford(concat(body, checksum(body)));
}

/**
 * Reads a token as a person gives it: blanks around it are dropped, upper case is accepted.
 * Throws `TOKEN_MALFORMED`; the checksum tells a typo from a wrong token before any packet leaves.
 */
export function decodeToken(text: string): Token {
  const word = text.trim();
  if (word.slice(0, PREFIX.length).toLowerCase() !== PREFIX) {
    throw malformed(`it does not start with "${PREFIX}"`);
  }
  const bytes = decodeCrockford(word.slice(PREFIX.length), BODY_BYTES + SUM_BYTES);
  if (bytes === undefined) {
    throw malformed(
      `it is not "${PREFIX}" and 71 letters or digits; ${word.length} of 78 are here`,
    );
  }
  const body = bytes.subarray(0, BODY_BYTES);
  if (!equalBytes(checksum(body), bytes.subarray(BODY_BYTES))) {
    throw malformed("its checksum is wrong: a letter was lost or changed on the way");
  }
  const role = ROLES[body[0]! & 15];
  if (body[0]! >> 4 !== VERSION || role === undefined) {
    throw malformed("it was made by another version of Denim");
  }
  const idStart = 1 + PIN_BYTES;
  return {
    role,
    caPin: body.slice(1, idStart),
    id: encodeCrockford(body.subarray(idStart, idStart + ID_BYTES)),
    secret: body.slice(idStart + ID_BYTES),
  };
}

/** What `denim token inspect` shows, without a network. Throws `TOKEN_MALFORMED`. */
export function inspectToken(text: string): TokenView {
  const { role, id, caPin } = decodeToken(text);
  return { role, id, caPin: hex(caPin) };
}

/** What the cluster stores of a secret: hex of its SHA-256. It has 128 random bits: no salt needed. */
export function hashSecret(secret: Uint8Array): string {
  return createHash("sha256").update(secret).digest("hex");
}

/** Whether `secret` has this hash, in a time that does not depend on where they differ. */
export function secretMatches(secret: Uint8Array, hash: string): boolean {
  const found = new TextEncoder().encode(hashSecret(secret));
  const wanted = new TextEncoder().encode(hash);
  return found.length === wanted.length && timingSafeEqual(found, wanted);
}

function checksum(body: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(body).digest().subarray(0, SUM_BYTES));
}

function malformed(why: string): DenimError {
  return new DenimError("TOKEN_MALFORMED", "This is not a Denim join token", {
    why,
    fix: "copy the whole token again, or make a new one on a server: denim token create",
  });
}
