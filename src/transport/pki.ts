/**
 * The cluster's certificates as they are made; all of them are PEM text. The only file that knows
 * @peculiar/x509, which takes a third of a start to load: imported where somebody joins, and no
 * sooner.
 */
import "./reflect.ts";
import { createPublicKey } from "node:crypto";
import * as x509 from "@peculiar/x509";
import type { Clock } from "../base/clock.ts";
import { BACKDATE_MS, NODE_CERTIFICATE_MS } from "./certificate.ts";
import { proveCsr, type ProvenCsr } from "./csr.ts";
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

const CA_LIFE_MS = 3652 * 86_400_000;

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

/** A CA as it is read. */
interface Signer {
  readonly subjectName: x509.Name;
  readonly privateKey: Key;
  readonly keyId: x509.AuthorityKeyIdentifierExtension;
}

let last: { readonly ca: KeyPair; readonly signer: Promise<Signer> } | undefined;

/** Reads the CA and keeps what it has read: that takes as long as to sign a certificate. */
export function openSigner(ca: KeyPair): Promise<Signer> {
  const { certPem, keyPem } = ca;
  if (last?.ca.certPem === certPem && last.ca.keyPem === keyPem) return last.signer;
  const signer = readSigner(ca);
  last = { ca, signer };
  return signer;
}

async function readSigner({ certPem, keyPem }: KeyPair): Promise<Signer> {
  const certificate = new x509.X509Certificate(certPem);
  return {
    subjectName: certificate.subjectName,
    privateKey: await importPrivate(keyPem),
    keyId: await x509.AuthorityKeyIdentifierExtension.create(certificate),
  };
}

/** Signs a node certificate for 90 days. Throws what {@link proveCsr} throws. */
export async function issueCertificate(
  ca: KeyPair,
  request: string | ProvenCsr,
  wanted: NodeCertificateRequest,
  clock: Clock,
): Promise<string> {
  const { spki } = typeof request === "string" ? proveCsr(request) : request;
  const { subjectName, privateKey, keyId } = await openSigner(ca);
  const nowMs = clock.wallMs();
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [{ CN: [wanted.nodeId] }],
    issuer: subjectName,
    publicKey: new x509.PublicKey(new Uint8Array(spki)),
    signingKey: privateKey,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(nowMs + NODE_CERTIFICATE_MS),
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
      keyId,
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

function importPrivate(keyPem: string): Promise<Key> {
  const pkcs8 = x509.PemConverter.decodeFirst(keyPem);
  return crypto.subtle.importKey("pkcs8", pkcs8, ALGORITHM, true, ["sign"]);
}

async function importKeys(keyPem: string) {
  const spki = createPublicKey(keyPem).export({ type: "spki", format: "der" });
  return {
    privateKey: await importPrivate(keyPem),
    publicKey: await crypto.subtle.importKey("spki", new Uint8Array(spki), ALGORITHM, true, [
      "verify",
    ]),
  };
}

function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem").trim()}\n`;
}
