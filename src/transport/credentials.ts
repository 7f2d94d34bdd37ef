import type { SecureContextOptions, TLSSocket } from "node:tls";
import { DenimError } from "../base/errors.ts";
import { keyFits, splitBundle } from "./certificate.ts";

/** What a node shows and whom it believes. PEM. */
export interface Credentials {
  /** One or, while the CA is being rotated, several certificates. */
  readonly caBundle: string;
  readonly cert: string;
  readonly key: string;
}

/**
 * TLS 1.3 only. The CAs travel behind the node's own certificate, so that a joiner finds the one
 * that its token pins. Throws `CONFIG_INVALID` when key and certificate are not a pair.
 */
export function secureOptions(credentials: Credentials): SecureContextOptions {
  if (!keyFits(credentials.key, credentials.cert)) {
    throw new DenimError("CONFIG_INVALID", "The node's key does not belong to its certificate", {
      why: "one of the two files was replaced",
      fix: "put the matching file back, or get a new pair: denim rejoin HOST --with-token",
    });
  }
  return {
    ca: splitBundle(credentials.caBundle),
    cert: `${credentials.cert.trim()}\n${credentials.caBundle.trim()}\n`,
    key: credentials.key,
    minVersion: "TLSv1.3",
  };
}

/** The certificates that the other side showed, its own first (DER); none when it has none. */
export function shownCertificates(socket: TLSSocket): Uint8Array[] {
  const shown: Uint8Array[] = [];
  for (let at = socket.getPeerCertificate(true); at?.raw !== undefined; at = at.issuerCertificate) {
    shown.push(new Uint8Array(at.raw));
    if (at.issuerCertificate === at || shown.length === CHAIN_MAX) break;
  }
  return shown;
}

const CHAIN_MAX = 8;
