import { hex } from "../../base/bytes.ts";
import { type Clock, sleep } from "../../base/clock.ts";
import { asDenimError, DenimError, type ErrorCode, isDenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { RejoinAnswer } from "../../lease/command.ts";
import { FEATURES } from "../../lease/feature-level.ts";
import type { Epoch } from "../../lease/records.ts";
import { damaged } from "../../store/codec.ts";
import type { IdentityFolder } from "../../store/identity.ts";
import type { NodeRecord } from "../../store/identity-schema.ts";
import type { StorePlace } from "../../store/place.ts";
import type { Store } from "../../store/store.ts";
import { Handlers } from "../../transport/handlers.ts";
import { KIND, PROTOCOL } from "../../transport/protocol.ts";
import type { Transport } from "../../transport/transport.ts";
import { judgeServer } from "../control/gate.ts";
import type { RejoinRequest } from "./readmitting.ts";

export interface RejoiningParts {
  readonly record: NodeRecord;
  readonly identity: IdentityFolder;
  readonly place: StorePlace;
  readonly transport: Transport;
  /** Servers to ask, in this order. */
  readonly servers: readonly string[];
  /** `host:port` of this node's control connection, as far as it knows. */
  readonly address: string;
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Gives up waiting for the others. */
  readonly signal?: AbortSignal;
}

/** Voters that were started together find each other within this. */
const PATIENCE_MS = 30_000;
const RETRY_MS = 1_000;
const ANSWER_MS = 10_000;
/** What no later try would change. */
const FINAL: readonly ErrorCode[] = [
  ...["NOT_A_MEMBER", "EPOCH_MISMATCH", "CLUSTER_MISMATCH", "UPGRADE_NEEDED"] as const,
  ...["REVISION_MISMATCH", "PROTOCOL"] as const,
];

/**
 * Opens the store of a member, and proves that it is this member's. One that is in doubt is set
 * aside, and the node comes back with an empty one: under a new raft id, so that what the old store
 * may have promised binds nobody, and with its identity and its lease. The cluster has to say yes
 * first, which takes a majority of the voters besides this one.
 *
 * @throws what {@link StorePlace.open} does; `STORE_DAMAGED` where the cluster does not say yes,
 * with the store as it was
 */
export async function openOwnStore(
  opening: Promise<Store>,
  parts: RejoiningParts,
): Promise<Store> {
  try {
    return await belonging(await opening, parts.record);
  } catch (error) {
    if (!isDenimError(error, "STORE_DAMAGED")) throw error;
    parts.logger.error(
      "the store is not to be believed; asking the other servers for leave to " +
        "begin an empty one",
      { why: error.why ?? error.message },
    );
    return await rejoin(parts, error.why ?? error.message);
  }
}

/**
 * The same by an operator's word, whatever the store is like: it goes into a later epoch too.
 *
 * @throws `STORE_DAMAGED`
 */
export async function rejoinByHand(parts: RejoiningParts): Promise<Store> {
  return await rejoin(parts, undefined);
}

/** A folder that somebody emptied, or put there from elsewhere, is no store of this node. */
async function belonging(store: Store, { clusterId }: NodeRecord): Promise<Store> {
  const { format } = store.loaded;
  if (format?.clusterId === clusterId) return store;
  await store[Symbol.asyncDispose]();
  throw damaged(format === undefined ? "it is empty" : "it is another cluster's");
}

async function rejoin(parts: RejoiningParts, doubt: string | undefined): Promise<Store> {
  const storeId = hex(parts.random.bytes(8));
  const startId = hex(parts.random.bytes(8));
  const answer = await agreement(parts, { storeId, startId, doubt });
  await beginStore(parts, { storeId, ...answer });
  return await parts.place.open();
}

/** An empty store in place of what is there, as the cluster has agreed to; the old one is kept. */
export async function beginStore(
  { place, clock, logger, identity, record: { clusterId } }: Pick<
    RejoiningParts,
    "place" | "clock" | "logger" | "identity" | "record"
  >,
  { storeId, epoch, raftId, incarnation }: RejoinAnswer & { readonly storeId: string },
): Promise<void> {
  const aside = await place.setAside(clock.wallMs());
  const store = await place.open();
  try {
    await store.write({
      format: {
        schema: 1,
        ...{ clusterId, epoch, storeId },
        ...(raftId === null ? {} : { raftId }),
      },
      starts: { incarnations: [incarnation] },
    });
  } finally {
    await store[Symbol.asyncDispose]();
  }
  // It gets the key again with its place in the group.
  await identity.remove("caKey");
  logger.warn("the store was set aside; this node comes back with an empty one", {
    ...(aside === undefined ? {} : { aside }),
    ...(raftId === null ? {} : { raftId }),
  });
}

interface Plea {
  readonly storeId: string;
  readonly startId: string;
  /** Why the store is not believed; `undefined` where an operator wants another one. */
  readonly doubt: string | undefined;
}

/** @throws `STORE_DAMAGED` */
async function agreement(parts: RejoiningParts, plea: Plea): Promise<RejoinAnswer> {
  const { clock, servers, logger, signal } = parts;
  const endMs = clock.monotonicMs() + PATIENCE_MS;
  let told = "";
  for (;;) {
    let failure: DenimError | undefined;
    for (const server of servers) {
      try {
        return await askOnce(parts, server, plea);
      } catch (error) {
        // The first server's word is kept unless a later one has said something of weight.
        const said = asDenimError(error);
        if (failure === undefined || !isDenimError(said, ...UNHEARD)) failure = said;
        if (isDenimError(said, ...FINAL)) throw refused(plea, said);
      }
    }
    if (failure === undefined) throw alone(plea);
    if (failure.message !== told) {
      const { message, why } = failure;
      logger.warn("this node may not come back yet, and goes on asking", { message, why });
    }
    told = failure.message;
    if (clock.monotonicMs() >= endMs || signal?.aborted) throw refused(plea, failure);
    await sleep(clock, RETRY_MS, signal);
  }
}

/** Nobody there, or nobody who could say anything. */
const UNHEARD: readonly ErrorCode[] = [
  ...["PEER_UNREACHABLE", "PEER_REFUSED", "CONNECTION_LOST", "TIMEOUT", "CANCELLED"] as const,
];

async function askOnce(parts: RejoiningParts, server: string, plea: Plea): Promise<RejoinAnswer> {
  const { record, address, transport, clock, version } = parts;
  const { storeId, startId, doubt } = plea;
  const { nodeId, clusterId, role, name } = record;
  const hello = {
    wants: "rejoin" as const,
    ...{ protocol: PROTOCOL, features: FEATURES, version, clusterId, nodeId, role, storeId },
    epoch: await lastEpoch(parts),
    incarnation: { counter: 0, startId },
    starts: [],
  };
  const { channel } = await transport.dial(server, {
    ...{ clock, hello },
    ...(parts.signal === undefined ? {} : { signal: parts.signal }),
    // By itself a node goes on in its own epoch; an operator may bring it into a later one.
    admit: (theirs) => doubt === undefined ? { ok: true } : judgeServer(hello, theirs),
  });
  await using asked = channel.start(new Handlers());
  const request: RejoinRequest = { name, address, startId };
  return await asked.request(KIND.rejoin, request, { timeoutMs: ANSWER_MS }) as RejoinAnswer;
}

/** As far as the identity knows: what the store knew is in doubt. */
async function lastEpoch({ record, identity }: RejoiningParts): Promise<Epoch> {
  const known = [record, await identity.read("lease"), await identity.read("programmed")];
  return known.flatMap((file) => file === undefined ? [] : [file.epoch])
    .reduce((a, b) => b.n > a.n ? b : a);
}

function refused({ doubt }: Plea, failure: DenimError): DenimError {
  const { message, why, fix } = failure;
  const said = why === undefined ? message : `${message}: ${why}`;
  const isFinal = isDenimError(failure, ...FINAL);
  return new DenimError("STORE_DAMAGED", HEADLINES[doubt === undefined ? "hand" : "doubt"], {
    why: `${doubt === undefined ? "" : `${doubt}; and `}it may not come back: ${said}`,
    fix: isFinal && fix !== undefined ? fix : "start the other servers, then type: " +
      "denim rejoin HOST, with one of them for HOST. If most of the voters are gone for good, " +
      "recover the cluster on one that is left before",
    cause: failure,
  });
}

/** Nobody else has the log, so nobody else can say what is missing. */
function alone({ doubt }: Plea): DenimError {
  return new DenimError("STORE_DAMAGED", HEADLINES[doubt === undefined ? "hand" : "doubt"], {
    why: `${doubt === undefined ? "" : `${doubt}; and `}no other server is known that could help`,
    fix: "if there is another server, type: denim rejoin HOST. If this was the only one, restore " +
      "it from a backup: denim restore FILE --replace-store; routes and containers of all hosts " +
      "stay as they are",
  });
}

const HEADLINES = {
  doubt: "The store is damaged, and this node stays down",
  hand: "This node cannot come back with an empty store",
};
