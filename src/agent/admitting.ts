import * as v from "valibot";
import { fromHex, hex } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { DenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { Cluster } from "../lease/cluster.ts";
import type { JoinAnswer } from "../lease/command.ts";
import type { StateRecord } from "../lease/records.ts";
import { nodeByName, theCluster, theGroup, theNetwork } from "../lease/state.ts";
import { csrKeyId, proveCsr } from "../transport/csr.ts";
import { Handlers } from "../transport/handlers.ts";
import type { Joiner } from "../transport/listener.ts";
import { secretMatches } from "../transport/token.ts";
import { attributeEntries, endpointSchema, featuresSchema, nameSchema, read } from "./border.ts";
import { type ServerAddress, serversOf } from "./servers.ts";

/** What a joiner shows first. */
export const beginSchema = v.object({
  tokenId: v.pipe(v.string(), v.maxLength(64)),
  secret: v.pipe(v.string(), v.regex(/^([0-9a-f]{2}){1,64}$/)),
});

/** What it then says about itself. */
export const commitSchema = v.object({
  csr: v.pipe(v.string(), v.maxLength(8_192)),
  name: nameSchema,
  /** `host:port` of its control connection. */
  address: endpointSchema,
  ...attributeEntries,
  storeId: v.pipe(v.string(), v.maxLength(64)),
  version: v.pipe(v.string(), v.maxLength(64)),
  features: featuresSchema,
  wish: v.optional(v.pipe(v.array(v.string()), v.maxLength(4))),
  replace: v.optional(v.pipe(v.string(), v.maxLength(128))),
});

export type JoinBegin = v.InferOutput<typeof beginSchema>;
export type JoinCommit = v.InferOutput<typeof commitSchema>;

/** The answer to `begin`: what the joiner checks before anything is consumed. */
export interface JoinOffer {
  readonly clusterId: string;
  readonly clusterName: string;
  readonly network: string;
}

/** The answer to `commit`. */
export interface JoinResult extends JoinAnswer {
  readonly clusterId: string;
  readonly certificate: string;
  readonly caBundle: string;
  readonly servers: readonly ServerAddress[];
}

export interface AdmittingParts {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Takes a node out of the Raft group, if it is in it. */
  readonly standDown: (node: string) => Promise<void>;
  readonly ca: () => Promise<{ readonly certPem: string; readonly keyPem: string } | undefined>;
}

/** Between `begin` and `commit` the joiner makes its own checks. */
const CHECKS_MS = 60_000;
const NODE_CERTIFICATE_MS = 90 * 86_400_000;
/** Shorter than a joiner's patience, so that it hears what is wrong. */
const READ_TIMEOUT_MS = 5_000;
const WHAT = "The join request";

/** Lets a joiner in: the secret first, which consumes nothing, then everything in one entry. */
export function admitJoiner(parts: AdmittingParts, joiner: Joiner): void {
  let tokenId: string | undefined;
  const { channel, extend, address } = joiner;
  channel.start(
    new Handlers()
      .request("join.begin", async (body): Promise<JoinOffer> => {
        const begin = read(beginSchema, body, WHAT);
        const offer = await begun(parts, begin);
        // It will be needed, and takes a while: now nobody waits for it.
        void prepareToSign(parts).catch(() => {});
        tokenId = begin.tokenId;
        extend(CHECKS_MS);
        return offer;
      })
      .request("join.commit", async (body): Promise<JoinResult> => {
        if (tokenId === undefined) throw new DenimError("TOKEN_INVALID", "Show the token first");
        const result = await committed(parts, tokenId, read(commitSchema, body, WHAT));
        parts.logger.info("a node joined", { node: result.name, address, token: tokenId });
        return result;
      }),
  );
}

async function begun(parts: AdmittingParts, begin: JoinBegin): Promise<JoinOffer> {
  if (await parts.ca() === undefined) throw cannotSign();
  const { state } = await knownToken(parts.cluster, begin.tokenId);
  const token = state.get("token", begin.tokenId)?.body;
  if (token === undefined || !secretMatches(fromHex(begin.secret), token.secretHash)) {
    throw new DenimError("TOKEN_INVALID", "The cluster does not know this token", {
      why: "it was revoked, or its secret is wrong",
      fix: "make a new one on a server: denim token create",
    });
  }
  refuseSpent(token, parts.clock.wallMs());
  const cluster = theCluster(state)!;
  return {
    clusterId: cluster.clusterId,
    clusterName: cluster.name,
    network: theNetwork(state)!,
  };
}

/** What fails here is told when it is needed. */
async function prepareToSign({ ca }: AdmittingParts): Promise<void> {
  const [keys, { openSigner }] = await Promise.all([ca(), import("../transport/pki.ts")]);
  if (keys !== undefined) await openSigner(keys);
}

/** A token may have been made a moment ago, on another server. */
async function knownToken(cluster: Cluster, tokenId: string) {
  const view = cluster.view();
  if (view?.state.get("token", tokenId) !== undefined) return view;
  return await cluster.read("linearizable", { timeoutMs: READ_TIMEOUT_MS });
}

/** Said again by `apply`, whose word counts; this spares the joiner its checks. */
function refuseSpent(token: StateRecord<"token">["body"], wallMs: number): void {
  if (token.expiresWallMs <= wallMs) {
    throw new DenimError("TOKEN_EXPIRED", "The token has expired", {
      fix: "make a new one on a server: denim token create --ttl 1h",
    });
  }
}

async function committed(
  parts: AdmittingParts,
  tokenId: string,
  commit: JoinCommit,
): Promise<JoinResult> {
  const [ca, { issueCertificate }] = await Promise.all([
    parts.ca(),
    import("../transport/pki.ts"),
  ]);
  if (ca === undefined) throw cannotSign();
  const view = parts.cluster.view();
  const role = view?.state.get("token", tokenId)?.body.role ?? "agent";
  const { csr, name, address, storeId, version, features, wish, replace, ...attributes } = commit;
  // Public keys are no secret: who does not hold this one must not speak for the node that does.
  const proven = proveCsr(csr);
  if (replace !== undefined) await clearPlace(parts, tokenId, replace);
  const { publicIpv6, ...rest } = attributes;
  const answer = await parts.cluster.propose({
    kind: "node.join",
    tokenId,
    node: {
      nodeId: `n-${hex(parts.random.bytes(6))}`,
      ...{ name, role, address, storeId, version, features },
      csrKey: csrKeyId(proven),
      certificateEndsWallMs: Math.floor(parts.clock.wallMs()) + NODE_CERTIFICATE_MS,
      attributes: { ...rest, ...(publicIpv6 === undefined ? {} : { publicIpv6 }) },
      ...(wish === undefined ? {} : { wish }),
      ...(replace === undefined ? {} : { replace }),
    },
  }) as unknown as JoinAnswer;
  const clusterId = clusterIdOf(parts);
  const certificate = await issueCertificate(
    ca,
    proven,
    { clusterId, nodeId: answer.nodeId, role: answer.role },
    parts.clock,
  );
  const servers = serversOf(parts.cluster.view()!.state);
  return { ...answer, clusterId, certificate, caBundle: ca.certPem, servers };
}

/** A node that holds the log leaves the Raft group before another one can take its place. */
async function clearPlace(parts: AdmittingParts, tokenId: string, wanted: string): Promise<void> {
  const { state } = await parts.cluster.read("linearizable", { timeoutMs: READ_TIMEOUT_MS });
  const token = state.get("token", tokenId)?.body;
  const former = state.get("node", wanted) ?? nodeByName(state, wanted);
  const { voters, learners } = theGroup(state);
  const raftId = former?.body.raftId;
  // What the entry will refuse anyway must not cost the group a member.
  if (token === undefined || token.usesLeft === 0 || raftId === undefined) return;
  if ([...voters, ...learners].includes(raftId)) await parts.standDown(former!.key);
}

function clusterIdOf(parts: AdmittingParts): string {
  return theCluster(parts.cluster.view()!.state)!.clusterId;
}

function cannotSign(): DenimError {
  return new DenimError("JOIN_REFUSED", "This node cannot let anyone in", {
    why: "it does not hold the CA key: it is an agent, or not a standby yet",
    fix: "join one of the servers: denim node list names them",
  });
}
