/** Certificate requests as they are read and judged: with what the runtime has. */
import { Buffer } from "node:buffer";
import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { DenimError } from "../base/errors.ts";
import { DER, type DerValue, readAllDer, readDer } from "./der.ts";

/** A request whose sender holds its key: see {@link proveCsr}. */
export interface ProvenCsr {
  /** The public key (SubjectPublicKeyInfo, DER). Nothing else is taken from a request. */
  readonly spki: Uint8Array;
}

const CURVE = "prime256v1";

/** Names the key inside a request: the same key asked twice is the same join. Hex. */
export function csrKeyId(csr: string | ProvenCsr): string {
  const { spki } = typeof csr === "string" ? readCsr(csr) : csr;
  return createHash("sha256").update(spki).digest("hex");
}

/**
 * Who sent the request holds its key. Throws `REQUEST_INVALID` when the request is not one, is not
 * signed by its own key (ECDSA with SHA-256), or holds another kind of key than P-256.
 */
export function proveCsr(csrPem: string): ProvenCsr {
  const { info, spki, signature } = readCsr(csrPem);
  const key = publicKeyOf(spki);
  const { namedCurve } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType !== "ec" || namedCurve !== CURVE) {
    throw invalidCsr(`its key is ${namedCurve ?? key.asymmetricKeyType}, not P-256`);
  }
  if (!verify("sha256", info, key, signature)) {
    throw invalidCsr("its signature is not by its own key");
  }
  return { spki };
}

function publicKeyOf(spki: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch (cause) {
    throw invalidCsr("its key cannot be read", cause);
  }
}

interface Csr {
  /** What is signed. */
  readonly info: Uint8Array;
  readonly spki: Uint8Array;
  readonly signature: Uint8Array;
}

/** RFC 2986, section 4: `{ { version, subject, key, attributes }, algorithm, signature }`. */
function readCsr(pem: string): Csr {
  const base64 = /-----BEGIN CERTIFICATE REQUEST-----([^-]+)-----END/.exec(pem)?.[1] ?? "";
  const request = readDer(new Uint8Array(Buffer.from(base64, "base64")));
  const [info, , signature] = partsOf(request);
  const [, , key] = partsOf(info);
  // A bit string begins with how many bits of its last byte do not count.
  const signed = signature?.tag === DER.bitString && signature.content[0] === 0;
  if (info === undefined || key === undefined || !signed || request!.rest.length > 0) {
    throw invalidCsr("it cannot be read");
  }
  return { info: info.whole, spki: key.whole, signature: signature.content.subarray(1) };
}

function partsOf(value: DerValue | undefined): readonly DerValue[] {
  return value?.tag === DER.sequence ? readAllDer(value.content) ?? [] : [];
}

function invalidCsr(why: string, cause?: unknown): DenimError {
  return new DenimError("REQUEST_INVALID", "The certificate request was refused", { why, cause });
}
