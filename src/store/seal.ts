import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, scrypt } from "node:crypto";
import * as v from "valibot";
import { DenimError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";

const base64 = v.pipe(v.string(), v.base64());

/** A secret that a passphrase opens: scrypt (RFC 7914) makes the key of AES-256-GCM. */
export const sealedSchema = v.object({
  kdf: v.literal("scrypt"),
  /** 2^17 rounds of 8 blocks: 128 MiB and some tenths of a second for each guess. */
  logN: v.literal(17),
  cipher: v.literal("aes-256-gcm"),
  salt: base64,
  nonce: base64,
  tag: base64,
  text: base64,
});

export type Sealed = v.InferOutput<typeof sealedSchema>;

const COST = { N: 2 ** 17, r: 8, p: 1, maxmem: 192 * 1024 * 1024 };
const KEY_BYTES = 32;
/** NIST SP 800-38D, section 8.2: 96 bits. The key is new each time, with its salt. */
const NONCE_BYTES = 12;

/** `about` is bound to it: the same box does not open elsewhere. */
export async function seal(
  secret: string,
  passphrase: string,
  about: string,
  random: Random,
): Promise<Sealed> {
  const [salt, nonce] = [random.bytes(16), random.bytes(NONCE_BYTES)];
  const cipher = createCipheriv("aes-256-gcm", await keyOf(passphrase, salt), nonce);
  cipher.setAAD(Buffer.from(about));
  const text = Buffer.concat([cipher.update(secret, "utf8"), cipher.final()]);
  return {
    ...{ kdf: "scrypt", logN: 17, cipher: "aes-256-gcm" },
    salt: Buffer.from(salt).toString("base64"),
    nonce: Buffer.from(nonce).toString("base64"),
    tag: cipher.getAuthTag().toString("base64"),
    text: text.toString("base64"),
  };
}

/** @throws `PASSPHRASE_WRONG` */
export async function unseal(sealed: Sealed, passphrase: string, about: string): Promise<string> {
  const [salt, nonce, tag, text] = [sealed.salt, sealed.nonce, sealed.tag, sealed.text]
    .map((part) => Buffer.from(part, "base64")) as [Buffer, Buffer, Buffer, Buffer];
  const key = await keyOf(passphrase, salt);
  try {
    const cipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 });
    cipher.setAAD(Buffer.from(about)).setAuthTag(tag);
    return Buffer.concat([cipher.update(text), cipher.final()]).toString("utf8");
  } catch (cause) {
    throw new DenimError("PASSPHRASE_WRONG", "The passphrase does not open the CA key", {
      why: "it is another one than the backup was made with, or the key in the file was changed",
      fix: "try another passphrase; without it: denim restore FILE --new-ca",
      cause,
    });
  }
}

function keyOf(passphrase: string, salt: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(
      passphrase.normalize("NFKC"),
      salt,
      KEY_BYTES,
      COST,
      (error, key) => error === null ? resolve(key) : reject(error),
    );
  });
}
