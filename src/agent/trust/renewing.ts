import * as v from "valibot";
import { readBody } from "../../api/query.ts";
import type { Clock } from "../../base/clock.ts";
import { DenimError } from "../../base/errors.ts";
import type { Cluster } from "../../lease/cluster.ts";
import { isKeyUnknown } from "../../lease/node-commands.ts";
import { theCluster } from "../../lease/state.ts";
import { NODE_CERTIFICATE_MS } from "../../transport/certificate.ts";
import { csrKeyId, proveCsr } from "../../transport/csr.ts";
import type { Signer } from "./authority.ts";

export const renewSchema = v.object({ csr: v.pipe(v.string(), v.maxLength(8_192)) });

/** What a node gets that asked for a new certificate. */
export interface Renewed {
  readonly certificate: string;
}

export interface RenewingParts {
  readonly cluster: Cluster;
  readonly clock: Clock;
  /** @throws `JOIN_REFUSED` where this node does not hold the CA key */
  readonly signer: () => Promise<Signer>;
}

const READ_TIMEOUT_MS = 5_000;

/**
 * Signs a new certificate for a member, under the key that it has had all the time. The cluster
 * knows when it will end before anybody has it: for so long a removed node is remembered.
 *
 * @throws `JOIN_REFUSED` where this node does not hold the CA key; `PEER_REFUSED`
 */
export async function renewFor(
  parts: RenewingParts,
  node: string,
  body: unknown,
): Promise<Renewed> {
  const { cluster, clock } = parts;
  const { csr } = readBody(renewSchema, body, "The request for a certificate");
  const proven = proveCsr(csr);
  // Who signs now may have changed a moment ago.
  const { state } = await cluster.read("linearizable", { timeoutMs: READ_TIMEOUT_MS });
  const record = state.get("node", node)?.body;
  if (record === undefined) throw notYours("it left, or was removed");
  // Whoever was readmitted after a recovery has no key on record; its connection proved it.
  if (!isKeyUnknown(record) && record.csrKey !== csrKeyId(proven)) {
    throw notYours("the request is not signed with the key that it joined with");
  }
  const signer = await parts.signer();
  const certificateEndsWallMs = Math.floor(clock.wallMs()) + NODE_CERTIFICATE_MS;
  await cluster.propose({ kind: "node.update", node, certificateEndsWallMs });
  const { issueCertificate } = await import("../../transport/pki.ts");
  const clusterId = theCluster(state)!.clusterId;
  const wanted = { clusterId, nodeId: node, role: record.role };
  return { certificate: await issueCertificate(signer, proven, wanted, clock) };
}

function notYours(why: string): DenimError {
  return new DenimError("PEER_REFUSED", "This node gets no new certificate", { why });
}
