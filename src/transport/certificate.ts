/**
 * Certificates as they are read and judged: with what the runtime has, so that a node that makes
 * none does not load what makes them (`pki.ts`), the larger part of a start.
 */
import { createHash, createPublicKey, X509Certificate } from "node:crypto";
import { hex } from "../base/bytes.ts";
import { DenimError } from "../base/errors.ts";
import { DER, type DerValue, readAllDer, readDer } from "./der.ts";
import { PIN_BYTES } from "./token.ts";

/** Who a certificate says its holder is. */
export interface NodeIdentity {
  readonly clusterId: string;
  readonly nodeId: string;
  /** It may serve joiners and agents: its certificate carries the serverAuth use. */
  readonly canServe: boolean;
  /** Wall clock, milliseconds since 1970. */
  readonly notAfterMs: number;
}

/** A node's certificate is good for 90 days, as those of Docker's swarm are. */
export const NODE_CERTIFICATE_MS = 90 * 86_400_000;
/** A holder's clock, or a reader's, may be behind the signer's. */
export const BACKDATE_MS = 3_600_000;

/** Object identifiers, as they stand in DER: RFC 5280, sections 4.2.1.6 and 4.2.1.12. */
const OID = {
  subjectAltName: "551d11",
  extendedKeyUsage: "551d25",
  serverAuth: "2b06010505070301",
} as const;

/** Where a certificate keeps its extensions, and a general name its URI (RFC 5280). */
const EXTENSIONS = DER.context(3);
const URI = DER.contextBytes(6);

/** What a token pins: the first 160 bits of the SHA-256 of a CA's public key (its SPKI). */
export function caPin(certificate: string | Uint8Array): Uint8Array {
  const spki = new X509Certificate(certificate).publicKey.export({ type: "spki", format: "der" });
  return new Uint8Array(createHash("sha256").update(spki).digest().subarray(0, PIN_BYTES));
}

/** The same as text: how the cluster's state names a CA. */
export function caId(certificate: string | Uint8Array): string {
  return hex(caPin(certificate));
}

/** When a certificate was made and when it ends; wall clock, milliseconds since 1970. */
export function readTerm(
  certificate: string,
): { readonly madeMs: number; readonly endsMs: number } {
  const { validFrom, validTo } = parseCertificate(certificate);
  return { madeMs: Date.parse(validFrom) + BACKDATE_MS, endsMs: Date.parse(validTo) };
}

/** The certificates of a bundle, one text each. */
export function splitBundle(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

/** The private keys (PKCS #8) of a text, one each. */
export function splitKeys(pem: string): string[] {
  return pem.match(/-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/g) ?? [];
}

/** Whether the key and the certificate are a pair; a bundle's first certificate counts. */
export function keyFits(keyPem: string, certPem: string): boolean {
  const wanted = new X509Certificate(certPem).publicKey.export({ type: "spki", format: "der" });
  return createPublicKey(keyPem).export({ type: "spki", format: "der" }).equals(wanted);
}

/** Reads an identity without judging it. Throws `PEER_REFUSED` when it is not a node's certificate. */
export function readIdentity(certificate: string | Uint8Array): NodeIdentity {
  const leaf = parseCertificate(certificate);
  const extensions = extensionsOf(new Uint8Array(leaf.raw));
  for (const { tag, content } of valuesIn(extensions.get(OID.subjectAltName))) {
    const uri = tag === URI ? new TextDecoder().decode(content) : "";
    const match = /^denim:\/\/([^/]+)\/node\/([^/]+)$/.exec(uri);
    if (match === null) continue;
    const uses = valuesIn(extensions.get(OID.extendedKeyUsage));
    return {
      clusterId: match[1]!,
      nodeId: match[2]!,
      canServe: uses.some((use) => use.tag === DER.oid && hex(use.content) === OID.serverAuth),
      notAfterMs: Date.parse(leaf.validTo),
    };
  }
  throw refused("its certificate names no Denim node");
}

/**
 * Judges a node's certificate against the CAs of a bundle: signed by one of them, both within
 * their time. Throws `PEER_REFUSED` with the reason. That the peer holds the key was proved by the
 * TLS handshake, which checks that signature on both runtimes whatever it thinks of the chain.
 */
export function judgeCertificate(
  certificate: string | Uint8Array,
  bundlePem: string,
  nowMs: number,
): NodeIdentity {
  const identity = readIdentity(certificate);
  const leaf = new X509Certificate(certificate);
  const issuer = findIssuer(leaf, bundlePem);
  if (issuer === undefined) {
    throw refused("its certificate is not from this cluster's CA", BY_TOKEN);
  }
  for (const [name, one] of [["certificate", leaf], ["CA", issuer]] as const) {
    if (nowMs < Date.parse(one.validFrom)) {
      throw refused(`its ${name} is valid only from ${one.validFrom}`, "check the clocks");
    }
    if (nowMs > Date.parse(one.validTo)) {
      throw refused(`its ${name} expired on ${one.validTo}`, BY_TOKEN);
    }
  }
  return identity;
}

/** Also where the cluster was restored with another CA. */
const BY_TOKEN = "a member comes back by a token: denim rejoin HOST --token-file FILE, with one " +
  "that a server made: denim token create";

/** Which CA of the bundle vouches for the certificate: its id, `undefined` where none does. */
export function issuerId(certificate: string, bundlePem: string): string | undefined {
  const issuer = findIssuer(new X509Certificate(certificate), bundlePem);
  return issuer === undefined ? undefined : caId(issuer.toString());
}

function findIssuer(leaf: X509Certificate, bundlePem: string): X509Certificate | undefined {
  return splitBundle(bundlePem).map((pem) => new X509Certificate(pem))
    .find((ca) => ca.ca && leaf.checkIssued(ca) && leaf.verify(ca.publicKey));
}

/** By object identifier: what each extension holds. Both runtimes' own readers leave out some. */
function extensionsOf(certificate: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const [signed] = valuesIn(certificate);
  const fields = (signed && readAllDer(signed.content)) ?? [];
  const list = fields.find(({ tag }) => tag === EXTENSIONS)?.content;
  const extensions = new Map<string, Uint8Array>();
  for (const { content } of valuesIn(list)) {
    const [name, ...more] = readAllDer(content) ?? [];
    const value = more.at(-1);
    if (name?.tag !== DER.oid || value?.tag !== DER.octetString) continue;
    const key = hex(name.content);
    // One of each kind (RFC 5280, section 4.2): of two it would not be clear which counts.
    if (extensions.has(key)) throw refused("its certificate has an extension twice");
    extensions.set(key, value.content);
  }
  return extensions;
}

/** What is inside of the sequence that the bytes are; none where they are no such thing. */
function valuesIn(bytes: Uint8Array | undefined): readonly DerValue[] {
  const outer = bytes === undefined ? undefined : readDer(bytes);
  if (outer?.tag !== DER.sequence || outer.rest.length > 0) return [];
  return readAllDer(outer.content) ?? [];
}

function parseCertificate(certificate: string | Uint8Array): X509Certificate {
  try {
    return new X509Certificate(certificate);
  } catch (cause) {
    throw refused("its certificate cannot be read", undefined, cause);
  }
}

function refused(why: string, fix?: string, cause?: unknown): DenimError {
  return new DenimError("PEER_REFUSED", "The peer is not let in", {
    why,
    ...(fix === undefined ? {} : { fix }),
    cause,
  });
}
