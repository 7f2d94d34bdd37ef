import * as v from "valibot";
import { readBody } from "../../api/query.ts";
import { fromHex, hex } from "../../base/bytes.ts";
import type { Clock } from "../../base/clock.ts";
import { DenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { Cluster } from "../../lease/cluster.ts";
import type { JoinAnswer } from "../../lease/command.ts";
import type { TokenBody } from "../../lease/records.ts";
import { tryParseAddress } from "../../ip/address.ts";
import { containsAddress, parsePrefix } from "../../ip/prefix.ts";
import { theHold } from "../../lease/hold.ts";
import {
  nodeByName,
  type StateReader,
  theCluster,
  theGroup,
  theNetwork,
} from "../../lease/state.ts";
import { refuseRevoked, refuseSpent, unknownToken } from "../../lease/token-commands.ts";
import { NODE_CERTIFICATE_MS } from "../../transport/certificate.ts";
import { csrKeyId, proveCsr, type ProvenCsr } from "../../transport/csr.ts";
import { Handlers } from "../../transport/handlers.ts";
import type { Joiner } from "../../transport/listener.ts";
import { secretMatches } from "../../transport/token.ts";
import type { Authority, Signer } from "../trust/authority.ts";
import {
  attributeEntries,
  endpointSchema,
  featuresSchema,
  nameSchema,
  zoneSchema,
} from "../control/border.ts";
import {
  readmitReturner,
  type ReturnRequest,
  type ReturnResult,
  returnSchema,
} from "./readmitting.ts";
import { type ServerAddress, serversOf } from "../control/servers.ts";
import type { SecretThrottle } from "./secret-throttle.ts";

/** What a joiner shows first. */
export const beginSchema = v.object({
  tokenId: v.pipe(v.string(), v.maxLength(64)),
  secret: v.pipe(v.string(), v.regex(/^([0-9a-f]{2}){1,64}$/)),
  /** Names the key of a request that was made before, and whose answer may have been lost. */
  csrKey: v.optional(v.pipe(v.string(), v.maxLength(128))),
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
  zone: v.optional(zoneSchema),
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
  readonly throttle: SecretThrottle;
  /** Takes a node out of the Raft group, if it is in it. */
  readonly standDown: (node: string) => Promise<void>;
  /** Whether a process of that node is connected to any server. */
  readonly lives: (node: string) => Promise<boolean>;
  readonly authority: Authority;
}

/** Between `begin` and `commit` the joiner makes its own checks. */
const CHECKS_MS = 60_000;
/** Shorter than a joiner's patience, so that it hears what is wrong. */
const READ_TIMEOUT_MS = 5_000;
const WHAT = "The join request";

/** Lets a joiner in: the secret first, which consumes nothing, then everything in one entry. */
export function admitJoiner(parts: AdmittingParts, joiner: Joiner): void {
  let tokenId: string | undefined;
  const { channel, extend, address, wants } = joiner;
  channel.start(
    new Handlers()
      .request(`${wants}.begin`, async (body): Promise<JoinOffer> => {
        const begin = readBody(beginSchema, body, WHAT);
        const offer = await begun(parts, begin, address);
        // It will be needed, and takes a while: now nobody waits for it.
        void prepareToSign(parts).catch(() => {});
        tokenId = begin.tokenId;
        extend(CHECKS_MS);
        return offer;
      })
      .request("join.commit", async (body): Promise<JoinResult> => {
        if (tokenId === undefined) throw unshown();
        const result = await committed(parts, tokenId, readBody(commitSchema, body, WHAT));
        parts.logger.info("a node joined", { node: result.name, address, token: tokenId });
        return result;
      })
      .request("rejoin.commit", async (body): Promise<ReturnResult> => {
        if (tokenId === undefined) throw unshown();
        const result = await returned(parts, tokenId, readBody(returnSchema, body, WHAT));
        parts.logger.info("a node came back", { node: result.name, address, token: tokenId });
        return result;
      }),
  );
}

function unshown(): DenimError {
  return new DenimError("JOIN_REFUSED", "Show the token first");
}

async function begun(
  parts: AdmittingParts,
  begin: JoinBegin,
  address: string,
): Promise<JoinOffer> {
  await parts.authority.requireSigner();
  const { state, token } = await provenToken(parts, begin, address);
  refuseOutOfRange(token, address);
  refuseRevoked(token);
  // A request that was granted already is answered again, whatever has become of its token.
  const isKnown = begin.csrKey !== undefined &&
    state.find("nodeByCsrKey", begin.csrKey).length > 0;
  if (!isKnown) refuseSpent(token, parts.clock.wallMs());
  const cluster = theCluster(state)!;
  return {
    clusterId: cluster.clusterId,
    clusterName: cluster.name,
    network: theNetwork(state)!,
  };
}

/**
 * The token that somebody at `address` has shown the secret of. What else is wrong with it is for
 * those alone to hear.
 *
 * @throws `TOKEN_UNKNOWN` `TOKEN_INVALID` `TOKEN_THROTTLED`
 */
async function provenToken(
  { cluster, throttle }: AdmittingParts,
  begin: JoinBegin,
  address: string,
): Promise<{ readonly state: StateReader; readonly token: TokenBody }> {
  throttle.refuse(address);
  const { state } = await knownToken(cluster, begin.tokenId);
  const token = state.get("token", begin.tokenId)?.body;
  if (token !== undefined && secretMatches(fromHex(begin.secret), token.secretHash)) {
    return { state, token };
  }
  throttle.noteWrong(address);
  throw token === undefined ? unknownToken() : wrongSecret();
}

function wrongSecret(): DenimError {
  return new DenimError("TOKEN_INVALID", "The secret of this token is wrong", {
    why: "somebody has put it together by hand",
    fix: "copy the whole token again, or make a new one on a server: denim token create",
  });
}

function refuseOutOfRange({ from }: TokenBody, text: string): void {
  const address = tryParseAddress(text);
  const isInside = (block: string) =>
    address !== undefined && containsAddress(parsePrefix(block), address);
  if (from === undefined || from.some(isInside)) return;
  throw new DenimError("TOKEN_OUT_OF_RANGE", "The token is not for hosts at this address", {
    why: `this host was seen as ${text}, and the token lets in ${from.join(", ")}`,
    fix: "join from there, or make another on a server: denim token create --from CIDR",
  });
}

/** What fails here is told when it is needed. */
async function prepareToSign({ authority }: AdmittingParts): Promise<void> {
  const [keys, { openSigner }] = await Promise.all([
    authority.signer(),
    import("../../transport/pki.ts"),
  ]);
  if (keys !== undefined) await openSigner(keys);
}

/** A token may have been made a moment ago, on another server. */
async function knownToken(cluster: Cluster, tokenId: string) {
  const view = cluster.view();
  if (view?.state.get("token", tokenId) !== undefined) return view;
  return await cluster.read("linearizable", { timeoutMs: READ_TIMEOUT_MS });
}

async function committed(
  parts: AdmittingParts,
  tokenId: string,
  commit: JoinCommit,
): Promise<JoinResult> {
  const signer = await parts.authority.requireSigner();
  const view = parts.cluster.view();
  const role = view?.state.get("token", tokenId)?.body.role ?? "agent";
  const { csr, name, address, storeId, version, features, wish, replace, zone, ...attributes } =
    commit;
  // Public keys are no secret: who does not hold this one must not speak for the node that does.
  const proven = proveCsr(csr);
  if (replace !== undefined) {
    await clearPlace(parts, { tokenId, csrKey: csrKeyId(proven) }, replace);
  }
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
      ...(zone === undefined ? {} : { zone }),
    },
  }) as unknown as JoinAnswer;
  return { ...answer, ...await papersFor(parts, signer, proven, answer) };
}

/** What a node is given once the log knows it: a certificate, and whom to believe. */
async function papersFor(
  { cluster, clock, authority }: AdmittingParts,
  signer: Signer,
  proven: ProvenCsr,
  { nodeId, role }: Pick<JoinAnswer, "nodeId" | "role">,
): Promise<Pick<JoinResult, "clusterId" | "certificate" | "caBundle" | "servers">> {
  const { issueCertificate } = await import("../../transport/pki.ts");
  const { state } = cluster.view()!;
  const { clusterId } = theCluster(state)!;
  const wanted = { clusterId, nodeId, role };
  const certificate = await issueCertificate(signer, proven, wanted, clock);
  return { clusterId, certificate, caBundle: authority.bundle, servers: serversOf(state) };
}

/** A member that has only a token to show, and mostly its key, is given a certificate again. */
async function returned(
  parts: AdmittingParts,
  tokenId: string,
  { csr, ...request }: ReturnRequest,
): Promise<ReturnResult> {
  const signer = await parts.authority.requireSigner();
  const proven = proveCsr(csr);
  const answer = await readmitReturner(parts, request, {
    ...{ tokenId, csrKey: csrKeyId(proven) },
    certificateEndsWallMs: Math.floor(parts.clock.wallMs()) + NODE_CERTIFICATE_MS,
  });
  const { nodeId } = request;
  return { ...answer, ...await papersFor(parts, signer, proven, { nodeId, role: answer.role }) };
}

/**
 * A node that holds the log leaves the Raft group before another one can take its place. Only one
 * that is gone does: a token is for coming in, and not for putting somebody out who is there.
 *
 * @throws `JOIN_REFUSED`; `TOKEN_REVOKED` `TOKEN_EXPIRED` `TOKEN_USED`
 */
async function clearPlace(
  parts: AdmittingParts,
  { tokenId, csrKey }: { readonly tokenId: string; readonly csrKey: string },
  wanted: string,
): Promise<void> {
  const { state } = await parts.cluster.read("linearizable", { timeoutMs: READ_TIMEOUT_MS });
  const token = state.get("token", tokenId)?.body;
  const former = state.get("node", wanted) ?? nodeByName(state, wanted);
  const isKnown = state.find("nodeByCsrKey", csrKey).length > 0;
  // What the entry will answer by itself must not cost the group a member.
  if (token === undefined || former === undefined || isKnown) return;
  refuseSpent(token, parts.clock.wallMs());
  if (token.node !== undefined || theHold(state) !== undefined) return;
  if (await parts.lives(former.key)) throw notGone(former.body.name);
  const { voters, learners } = theGroup(state);
  const { raftId } = former.body;
  if (raftId === undefined || ![...voters, ...learners].includes(raftId)) return;
  await parts.standDown(former.key);
}

function notGone(name: string): DenimError {
  return new DenimError("JOIN_REFUSED", `${name} is there, and nobody takes its place`, {
    why: "it is connected to a server now",
    fix: `stop its daemon first, or put it out on a server: denim node rm --force ${name}`,
  });
}
