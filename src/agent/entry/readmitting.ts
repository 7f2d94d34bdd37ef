import * as v from "valibot";
import { readBody } from "../../api/query.ts";
import { DenimError } from "../../base/errors.ts";
import type { Cluster } from "../../lease/cluster.ts";
import type { CommandOf, RejoinAnswer, ReturnProof } from "../../lease/command.ts";
import { theGroup } from "../../lease/state.ts";
import { Handlers } from "../../transport/handlers.ts";
import type { Hello } from "../../transport/handshake.ts";
import { KIND } from "../../transport/protocol.ts";
import { endpointSchema, featuresSchema, nameSchema } from "../control/border.ts";
import type { ServerAddress } from "../control/servers.ts";

const word = v.pipe(v.string(), v.minLength(1), v.maxLength(64));

/** What a node says that comes back with an empty store; the rest is in its hello. */
export const rejoinSchema = v.object({
  name: nameSchema,
  /** `host:port` of its control connection. */
  address: endpointSchema,
  startId: word,
});

/** The same where no certificate speaks for it: who it says it is, and the key that it holds. */
export const returnSchema = v.object({
  ...rejoinSchema.entries,
  nodeId: word,
  role: v.picklist(["server", "agent"]),
  csr: v.pipe(v.string(), v.maxLength(8_192)),
  storeId: word,
  version: word,
  features: featuresSchema,
});

export type RejoinRequest = v.InferOutput<typeof rejoinSchema>;
export type ReturnRequest = v.InferOutput<typeof returnSchema>;

/** What such a node needs to be what it was. */
export interface ReturnResult extends RejoinAnswer {
  readonly clusterId: string;
  readonly certificate: string;
  readonly caBundle: string;
  readonly servers: readonly ServerAddress[];
}

export interface ReadmittingParts {
  readonly cluster: Cluster;
  /** Whether a process of that node is connected to any server. */
  readonly lives: (node: string) => Promise<boolean>;
}

/** Shorter than the asker's patience, so that it hears what is in the way. */
const TIMEOUT_MS = 5_000;

/**
 * Takes a member back that has lost its store, or does not believe it. What it may ask for is this
 * alone; what it is then, the log says, which only a majority without it can write to.
 */
export function readmitPeer(parts: ReadmittingParts, hello: Hello): Handlers {
  const { nodeId: node, role, version, features, storeId = "" } = hello;
  return new Handlers().request(KIND.rejoin, async (body): Promise<RejoinAnswer> => {
    const request = readBody(rejoinSchema, body, "The request to rejoin");
    return await readmit(parts, { node, role, version, features, storeId, ...request });
  });
}

/** The same by a token and a key. @throws what `node.rejoin` refuses, each with its own words */
export async function readmitReturner(
  parts: ReadmittingParts,
  { nodeId: node, ...request }: Omit<ReturnRequest, "csr">,
  proof: ReturnProof,
): Promise<RejoinAnswer> {
  return await readmit(parts, { node, ...request, proof });
}

async function readmit(
  { cluster, lives }: ReadmittingParts,
  request: Omit<CommandOf<"node.rejoin">, "kind">,
): Promise<RejoinAnswer> {
  const { node } = request;
  if (await lives(node)) throw anotherLives();
  refuseSoleVoter(cluster, node);
  const command = { kind: "node.rejoin", ...request } as const;
  return await cluster.propose(command, { timeoutMs: TIMEOUT_MS }) as unknown as RejoinAnswer;
}

/** Said before a proposal that nobody could commit. */
function refuseSoleVoter(cluster: Cluster, node: string): void {
  const view = cluster.view();
  if (view === undefined) return;
  const raftId = view.state.get("node", node)?.body.raftId;
  const { voters } = theGroup(view.state);
  if (voters.length !== 1 || voters[0] !== raftId) return;
  throw new DenimError("NO_LEADER", "That node is the only voter", {
    why: "nobody else can say what its store had",
  });
}

function anotherLives(): DenimError {
  return new DenimError("STORE_LOCKED", "Another process of this node is connected", {
    why: "two hosts have the same identity, or the old process has not been missed yet",
    fix: "find the other host and stop its daemon",
  });
}
