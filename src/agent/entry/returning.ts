import { createHash } from "node:crypto";
import { hex } from "../../base/bytes.ts";
import type { Clock } from "../../base/clock.ts";
import { DenimError, isDenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { FEATURES } from "../../lease/feature-level.ts";
import type { IdentityFolder } from "../../store/identity.ts";
import type { NodeRecord } from "../../store/identity-schema.ts";
import type { StorePlace } from "../../store/place.ts";
import { keyFits, readIdentity } from "../../transport/certificate.ts";
import { csrKeyId } from "../../transport/csr.ts";
import { createCsr, createKey } from "../../transport/pki.ts";
import { decodeToken } from "../../transport/token.ts";
import type { JoinBegin, JoinOffer } from "./admitting.ts";
import { membersToKeep } from "../control/servers.ts";
import { firstServer } from "./joining.ts";
import type { ReturnRequest, ReturnResult } from "./readmitting.ts";
import { beginStore } from "./rejoining.ts";

export interface ReturningOptions {
  readonly record: NodeRecord;
  readonly identity: IdentityFolder;
  readonly place: StorePlace;
  /** Servers to turn to, in this order. */
  readonly addresses: readonly string[];
  readonly token: string;
  /** `host:port` of this node's control connection, as far as it knows. */
  readonly address: string;
  readonly version: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly onStep: (step: "proved" | "accepted", detail: string) => void;
}

const TIMEOUT_MS = 10_000;

/**
 * A member whose certificate speaks for it no more comes back as the node that it is, by a token
 * and by its key: its name and its lease stay, the store is a new one. What it asks with names the
 * key and the token, so that a request whose answer was lost can be repeated at no cost.
 *
 * @throws `TOKEN_MALFORMED` before any network use; `JOIN_CA_MISMATCH` before the secret has left;
 * what the cluster refuses, with everything as it was
 */
export async function returnByToken(options: ReturningOptions): Promise<void> {
  const { record, identity } = options;
  const token = decodeToken(options.token);
  const { session, address } = await firstServer(options, token, "rejoin");
  await using _closed = session;
  const key = await readKey(identity) ?? await createKey();
  const csrKey = csrKeyId(await createCsr(key));
  const begin: JoinBegin = { tokenId: token.id, secret: hex(token.secret), csrKey };
  const offer = await session.begin(begin, TIMEOUT_MS) as JoinOffer;
  if (offer.clusterId !== record.clusterId) throw otherCluster(record, offer);
  options.onStep("proved", `${address} is cluster ${offer.clusterName}`);
  await identity.writePem("key", key);
  const request = await requestOf(options, key, token.id);
  const result = await session.commit(request, TIMEOUT_MS * 2) as ReturnResult;
  options.onStep("accepted", `${result.name} is back, as ${result.role}`);
  await keep(options, result, request.storeId);
}

async function requestOf(
  { record, address, version }: ReturningOptions,
  key: string,
  tokenId: string,
): Promise<ReturnRequest> {
  const csr = await createCsr(key);
  const names = createHash("sha256").update(`${csrKeyId(csr)} ${tokenId}`).digest("hex");
  const { nodeId, name, role } = record;
  return {
    ...{ nodeId, name, role, csr, address, version, features: FEATURES },
    ...{ storeId: names.slice(0, 16), startId: names.slice(16, 32) },
  };
}

/** The store last: until it is there, the same request can be made again. */
async function keep(
  options: ReturningOptions,
  result: ReturnResult,
  storeId: string,
): Promise<void> {
  const { identity, record, addresses } = options;
  const { name, role, epoch } = result;
  await identity.writePem("cert", result.certificate);
  await identity.writePem("ca", result.caBundle);
  const members = membersToKeep(result.servers);
  await identity.write("servers", { members, seeds: [...addresses] });
  await identity.write("node", { ...record, name, role, epoch });
  await beginStore(options, { ...result, storeId });
}

/** The node's key; one that cannot be read is lost. */
export async function readKey(identity: IdentityFolder): Promise<string | undefined> {
  return await identity.readPem("key").catch((error: unknown) => {
    if (isDenimError(error, "STORE_DAMAGED")) return undefined;
    throw error;
  });
}

/** Whether the node's certificate cannot speak for it, so that it takes a token to come back. */
export async function needsToken(identity: IdentityFolder, clock: Clock): Promise<boolean> {
  try {
    const [key, cert, ca] = await Promise.all([
      identity.readPem("key"),
      identity.readPem("cert"),
      identity.readPem("ca"),
    ]);
    if (key === undefined || cert === undefined || ca === undefined) return true;
    return !keyFits(key, cert) || readIdentity(cert).notAfterMs < clock.wallMs();
  } catch {
    return true;
  }
}

function otherCluster({ clusterId }: NodeRecord, offer: JoinOffer): DenimError {
  return new DenimError("CLUSTER_MISMATCH", "The token is of another cluster than this node", {
    why: `this node is of cluster ${clusterId}, the token of ${offer.clusterName} ` +
      `(${offer.clusterId})`,
    fix: "make a token in this node's cluster: denim token create",
  });
}
