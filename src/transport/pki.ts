/**
 * The cluster's certificates as they are made; all of them are PEM text. The only file that knows
 * @peculiar/x509, which takes a third of a start to load: imported where somebody joins, and no
 * sooner.
 */
import "./reflect.ts";
import { createHash, createPublicKey } from "node:crypto";
import * as x509 from "@peculiar/x509";
import type { Clock } from "../base/clock.ts";
import { DenimError } from "../base/errors.ts";
import type { TokenRole } from "./token.ts";

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

/** A request whose sender holds its key: see {@link proveCsr}. */
export type ProvenCsr = x509.Pkcs10CertificateRequest;

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
export function csrKeyId(csr: string | ProvenCsr): string {
  const { publicKey } = typeof csr === "string" ? parseCsr(csr) : csr;
  const spki = new Uint8Array(publicKey.rawData);
  return createHash("sha256").update(spki).digest("hex");
}

/**
 * Who sent the request holds its key. Throws `REQUEST_INVALID` when the request is not one, is not
 * signed by its own key, or holds another kind of key than P-256.
 */
export async function proveCsr(csrPem: string): Promise<ProvenCsr> {
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
  request: string | ProvenCsr,
  wanted: NodeCertificateRequest,
  clock: Clock,
): Promise<string> {
  const csr = typeof request === "string" ? await proveCsr(request) : request;
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

function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem").trim()}\n`;
}

function invalidCsr(why: string, cause?: unknown): DenimError {
  return new DenimError("REQUEST_INVALID", "The certificate request was refused", { why, cause });
}
