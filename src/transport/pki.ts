/** The cluster's certificates: the only file that knows @peculiar/x509. All of them are PEM text. */
import "./reflect.ts";
import { createHash, createPublicKey, X509Certificate as NodeCertificate } from "node:crypto";
import * as x509 from "@peculiar/x509";
import type { Clock } from "../base/clock.ts";
import { DenimError } from "../base/errors.ts";
import { PIN_BYTES, type TokenRole } from "./token.ts";

/** Who a certificate says its holder is. */
export interface NodeIdentity {
  readonly clusterId: string;
  readonly nodeId: string;
  /** It may serve joiners and agents: its certificate carries the serverAuth use. */
  readonly canServe: boolean;
  /** Wall clock, milliseconds since 1970. */
  readonly notAfterMs: number;
}

/** A certificate and the key that belongs to it. */
export interface KeyPair {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface NodeCertificateRequest {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly role: TokenRole;
  /** Addresses that peers reach the node at, as text. */
  readonly ips?: readonly string[];
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const CA_LIFE_MS = 3652 * DAY_MS;
const NODE_LIFE_MS = 90 * DAY_MS;
/** A joiner's clock may be behind the signer's. */
const BACKDATE_MS = HOUR_MS;

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
/** A WebCrypto key, under a name that both runtimes' types have. */
type Key = Parameters<typeof crypto.subtle.exportKey>[1];

const USE_CLIENT = x509.ExtendedKeyUsage.clientAuth;
const USE_SERVER = x509.ExtendedKeyUsage.serverAuth;

/** A new certificate authority: P-256, ten years. */
export async function createCa(clusterId: string, clock: Clock): Promise<KeyPair> {
  const keys = await generateKeys();
  const nowMs = clock.wallMs();
  const keyId = await x509.SubjectKeyIdentifierExtension.create(keys.publicKey);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [`denim ${clusterId} ${keyId.keyId.slice(0, 8)}`] }],
    keys,
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(nowMs + CA_LIFE_MS),
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      keyId,
    ],
  });
  return { certPem: pemOf(certificate), keyPem: await exportKey(keys.privateKey) };
}

/** A new node key (PKCS #8). It never leaves the host that made it. */
export async function createKey(): Promise<string> {
  return await exportKey((await generateKeys()).privateKey);
}

/** Asks for a certificate. The signer decides what stands in it; only the key is taken from here. */
export async function createCsr(keyPem: string): Promise<string> {
  const keys = await importKeys(keyPem);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: ["denim node"] }],
    keys,
    signingAlgorithm: ALGORITHM,
  });
  return `${request.toString("pem").trim()}\n`;
}

/** Names the key inside a request: the same key asked twice is the same join. Hex. */
export function csrKeyId(csrPem: string): string {
  const spki = new Uint8Array(parseCsr(csrPem).publicKey.rawData);
  return createHash("sha256").update(spki).digest("hex");
}

/**
 * Who sent the request holds its key. Throws `REQUEST_INVALID` when the request is not one, is not
 * signed by its own key, or holds another kind of key than P-256.
 */
export async function proveCsr(csrPem: string): Promise<x509.Pkcs10CertificateRequest> {
  const csr = parseCsr(csrPem);
  const algorithm = csr.publicKey.algorithm as { name: string; namedCurve?: string };
  if (algorithm.name !== "ECDSA" || algorithm.namedCurve !== ALGORITHM.namedCurve) {
    throw invalidCsr(`its key is ${algorithm.namedCurve ?? algorithm.name}, not P-256`);
  }
  if (!await csr.verify()) throw invalidCsr("its signature is not by its own key");
  return csr;
}

/** Signs a node certificate for 90 days. Throws what {@link proveCsr} throws. */
export async function issueCertificate(
  ca: KeyPair,
  csrPem: string,
  wanted: NodeCertificateRequest,
  clock: Clock,
): Promise<string> {
  const csr = await proveCsr(csrPem);
  const issuer = new x509.X509Certificate(ca.certPem);
  const signing = await importKeys(ca.keyPem);
  const nowMs = clock.wallMs();
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [{ CN: [wanted.nodeId] }],
    issuer: issuer.subjectName,
    publicKey: csr.publicKey,
    signingKey: signing.privateKey,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(nowMs + NODE_LIFE_MS),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(
        wanted.role === "server" ? [USE_CLIENT, USE_SERVER] : [USE_CLIENT],
      ),
      new x509.SubjectAlternativeNameExtension([
        { type: "url", value: identityUri(wanted.clusterId, wanted.nodeId) },
        ...(wanted.ips ?? []).map((value) => ({ type: "ip" as const, value })),
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return pemOf(certificate);
}

/** What a token pins: the first 160 bits of the SHA-256 of a CA's public key (its SPKI). */
export function caPin(certificate: string | Uint8Array): Uint8Array {
  const spki = new NodeCertificate(certificate).publicKey.export({ type: "spki", format: "der" });
  return new Uint8Array(createHash("sha256").update(spki).digest().subarray(0, PIN_BYTES));
}

/** The certificates of a bundle, one text each. */
export function splitBundle(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

/** Whether the key and the certificate are a pair; a bundle's first certificate counts. */
export function keyFits(keyPem: string, certPem: string): boolean {
  const wanted = new NodeCertificate(certPem).publicKey.export({ type: "spki", format: "der" });
  return createPublicKey(keyPem).export({ type: "spki", format: "der" }).equals(wanted);
}

/** Reads an identity without judging it. Throws `PEER_REFUSED` when it is not a node's certificate. */
export function readIdentity(certificate: string | Uint8Array): NodeIdentity {
  const parsed = parseCertificate(certificate);
  const names = parsed.getExtension(x509.SubjectAlternativeNameExtension)?.names.items ?? [];
  const uses = parsed.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? [];
  for (const name of names) {
    const match = name.type === "url" && /^denim:\/\/([^/]+)\/node\/([^/]+)$/.exec(name.value);
    if (!match) continue;
    return {
      clusterId: match[1]!,
      nodeId: match[2]!,
      canServe: uses.includes(USE_SERVER),
      notAfterMs: parsed.notAfter.getTime(),
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
  const leaf = new NodeCertificate(certificate);
  const issuer = splitBundle(bundlePem).map((pem) => new NodeCertificate(pem))
    .find((ca) => ca.ca && leaf.checkIssued(ca) && leaf.verify(ca.publicKey));
  if (issuer === undefined) throw refused("its certificate is not from this cluster's CA");
  for (const [name, one] of [["certificate", leaf], ["CA", issuer]] as const) {
    if (nowMs < Date.parse(one.validFrom)) {
      throw refused(`its ${name} is valid only from ${one.validFrom}`, "check the clocks");
    }
    if (nowMs > Date.parse(one.validTo)) {
      throw refused(`its ${name} expired on ${one.validTo}`, "bring it back: denim rejoin ADDRESS");
    }
  }
  return identity;
}

function identityUri(clusterId: string, nodeId: string): string {
  return `denim://${clusterId}/node/${nodeId}`;
}

function generateKeys() {
  return crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

async function exportKey(key: Key): Promise<string> {
  return `${
    x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY")
  }\n`;
}

async function importKeys(keyPem: string) {
  const spki = createPublicKey(keyPem).export({ type: "spki", format: "der" });
  const pkcs8 = x509.PemConverter.decodeFirst(keyPem);
  return {
    privateKey: await crypto.subtle.importKey("pkcs8", pkcs8, ALGORITHM, true, ["sign"]),
    publicKey: await crypto.subtle.importKey("spki", new Uint8Array(spki), ALGORITHM, true, [
      "verify",
    ]),
  };
}

function parseCsr(csrPem: string): x509.Pkcs10CertificateRequest {
  try {
    return new x509.Pkcs10CertificateRequest(csrPem);
  } catch (cause) {
    throw invalidCsr("it cannot be read", cause);
  }
}

function parseCertificate(certificate: string | Uint8Array): x509.X509Certificate {
  try {
    return new x509.X509Certificate(
      typeof certificate === "string" ? certificate : new Uint8Array(certificate),
    );
  } catch (cause) {
    throw refused("its certificate cannot be read", undefined, cause);
  }
}

function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem").trim()}\n`;
}

function invalidCsr(why: string, cause?: unknown): DenimError {
  return new DenimError("REQUEST_INVALID", "The certificate request was refused", { why, cause });
}

function refused(why: string, fix?: string, cause?: unknown): DenimError {
  return new DenimError("PEER_REFUSED", "The peer is not let in", {
    why,
    ...(fix === undefined ? {} : { fix }),
    cause,
  });
}
