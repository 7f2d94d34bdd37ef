import { hex } from "../../base/bytes.ts";
import type { Clock } from "../../base/clock.ts";
import { asDenimError, DenimError, type ErrorCode, isDenimError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { FEATURES } from "../../lease/feature-level.ts";
import type { LeaseAttributes } from "../../lease/records.ts";
import type { IdentityFolder } from "../../store/identity.ts";
import type { Store } from "../../store/store.ts";
import { csrKeyId } from "../../transport/csr.ts";
import { type JoinSession, openJoin } from "../../transport/join-client.ts";
import { createCsr, createKey } from "../../transport/pki.ts";
import { PROTOCOL } from "../../transport/protocol.ts";
import { decodeToken, type Token } from "../../transport/token.ts";
import type { JoinBegin, JoinCommit, JoinOffer, JoinResult } from "./admitting.ts";
import { membersToKeep } from "../control/servers.ts";

export interface JoiningOptions {
  readonly identity: IdentityFolder;
  /** Opens an empty store for this node, once it is in. */
  readonly openStore: () => Promise<Store>;
  /** Servers to turn to, in this order. */
  readonly addresses: readonly string[];
  readonly token: string;
  readonly name: string;
  readonly version: string;
  readonly wish: readonly string[];
  readonly replace: string | undefined;
  readonly zone?: string | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /**
   * This host's own checks, made once the cluster is proved and before anything is consumed:
   * whether the network fits here, and what there is to tell peers.
   */
  readonly prepare: (offer: JoinOffer, server: string) => Promise<Preparation>;
  readonly onStep: (step: "proved" | "checked" | "accepted", detail: string) => void;
}

/** What a host has to say about itself once it knows the network. */
export interface Preparation {
  readonly attributes: LeaseAttributes;
  /** `host:port` of its control connections. */
  readonly address: string;
}

const TIMEOUT_MS = 10_000;
/** What may be said although the node was let in. */
const UNCLEAR: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...["CONNECTION_LOST", "TIMEOUT", "OUTCOME_UNKNOWN", "CANCELLED", "INTERNAL"] as const,
]);

/**
 * Brings this node into a cluster. The key is made first and kept until there is a clear answer, so
 * that a join whose answer was lost can be repeated without costing a second use.
 *
 * @throws `TOKEN_MALFORMED` before any network use; `JOIN_CA_MISMATCH` before the secret has left;
 * what the cluster or this host's checks refuse, with everything as it was
 */
export async function joinCluster(options: JoiningOptions): Promise<JoinResult> {
  const token = decodeToken(options.token);
  const { session, address } = await firstServer(options, token, "join");
  await using _closed = session;
  const former = await options.identity.readPem("key");
  const begin: JoinBegin = {
    ...{ tokenId: token.id, secret: hex(token.secret) },
    ...(former === undefined ? {} : { csrKey: csrKeyId(await createCsr(former)) }),
  };
  const offer = await session.begin(begin, TIMEOUT_MS) as JoinOffer;
  options.onStep("proved", `${address} is cluster ${offer.clusterName}`);
  const preparation = await options.prepare(offer, address);
  options.onStep("checked", "this host fits the network");
  const key = former ?? await createKey();
  await options.identity.writePem("key", key);
  const result = await accepted(options, session, key, preparation);
  options.onStep("accepted", `${result.name} is in, as ${result.role}`);
  await keep(options, result, key);
  return result;
}

/** Who was refused for certain needs its key no more. Otherwise it may be a member under it. */
async function accepted(
  options: JoiningOptions,
  session: JoinSession,
  key: string,
  preparation: Preparation,
): Promise<JoinResult> {
  try {
    return await commit(options, session, key, preparation);
  } catch (error) {
    if (!isDenimError(error) || UNCLEAR.has(error.code)) throw error;
    await options.identity.remove("key");
    throw error;
  }
}

/** The first that answers and that the token proves. @throws what {@link openJoin} does */
export async function firstServer(
  options: Pick<JoiningOptions, "addresses" | "version" | "clock" | "signal">,
  token: Token,
  wants: "join" | "rejoin",
): Promise<{ session: JoinSession; address: string }> {
  let failure = new DenimError("USAGE", `Name a server: denim ${wants} HOST`);
  for (const address of options.addresses) {
    try {
      const session = await openJoin(address, {
        caPin: token.caPin,
        hello: { wants, protocol: PROTOCOL, version: options.version },
        clock: options.clock,
        timeoutMs: TIMEOUT_MS,
        signal: options.signal,
      });
      return { session, address };
    } catch (error) {
      failure = asDenimError(error);
      // Another CA than the token's is no matter of trying elsewhere.
      if (isDenimError(failure, "JOIN_CA_MISMATCH")) break;
    }
  }
  throw failure;
}

async function commit(
  options: JoiningOptions,
  session: JoinSession,
  key: string,
  { attributes, address }: Preparation,
): Promise<JoinResult> {
  const csr = await createCsr(key);
  const { name, version, wish, replace, zone } = options;
  const body: JoinCommit = {
    ...{ csr, name, address, version, features: FEATURES },
    ...attributes,
    storeId: storeIdOf(csr),
    wish: [...wish],
    ...(replace === undefined ? {} : { replace }),
    ...(zone === undefined ? {} : { zone }),
  };
  return await session.commit(body, TIMEOUT_MS * 2) as JoinResult;
}

/** The same for a repeated request; every join makes a new key, so it names this directory alone. */
function storeIdOf(csr: string): string {
  return csrKeyId(csr).slice(0, 16);
}

async function keep(options: JoiningOptions, result: JoinResult, key: string): Promise<void> {
  const { identity } = options;
  const { clusterId, nodeId, name, role, lease } = result;
  await identity.writePem("cert", result.certificate);
  await identity.writePem("ca", result.caBundle);
  const members = membersToKeep(result.servers);
  await identity.write("servers", { members, seeds: [...options.addresses] });
  await using store = await options.openStore();
  await store.write({
    format: {
      schema: 1,
      ...{ clusterId, epoch: lease.epoch },
      storeId: storeIdOf(await createCsr(key)),
      ...(result.raftId === null ? {} : { raftId: result.raftId }),
    },
  });
  const createdAtMs = Math.floor(options.clock.wallMs());
  await identity.write("node", { nodeId, name, clusterId, epoch: lease.epoch, role, createdAtMs });
}
