import { type Canonical, canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import type { CommandOf, JoinAnswer, Joiner, RejoinAnswer, ReturnProof } from "./command.ts";
import { parsePrefix } from "../ip/prefix.ts";
import { clusterOf, type Context, findNode, mayComeBack, memberOf } from "./context.ts";
import { refuseOnHold } from "./hold.ts";
import { acquireLease } from "./lease-commands.ts";
import type { NodeBody, StateRecord } from "./records.ts";
import { leaseOf, nextRaftId, nodeByName, type StateReader, theGroup } from "./state.ts";
import { refuseReserved } from "./taken.ts";
import { confiscate, giveBack, giveBackExpired } from "./tenure.ts";
import { spend } from "./token-commands.ts";

/** The one entry of a join: it consumes the use, adds the node and grants the lease. */
export function joinNode(context: Context, command: CommandOf<"node.join">): Canonical {
  const { draft } = context;
  const known = draft.find("nodeByCsrKey", command.node.csrKey)[0];
  // The same request again: its first answer was lost. It costs nothing.
  if (known !== undefined) {
    renewCertificate(context, known, command.node.certificateEndsWallMs);
    return admitted(context, known.key, command.node);
  }
  refuseOnHold(context, "No host can join now");
  const { ephemeral, subnet, node } = spend(context, command.tokenId);
  if (node !== undefined) throw onlyToReturn();
  if (command.node.replace !== undefined) {
    banish(context, findNode(context, command.node.replace));
  }
  const joiner = ephemeral ? { ...command.node, ephemeral } : command.node;
  addNode(context, joiner, command.tokenId);
  return subnet === undefined
    ? admitted(context, joiner.nodeId, joiner)
    : admittedTo(context, { subnet, tokenId: command.tokenId }, joiner);
}

/** The reservation of its token is the joiner's from now on; an ephemeral one leaves none behind. */
function admittedTo(
  context: Context,
  { subnet, tokenId }: { readonly subnet: string; readonly tokenId: string },
  joiner: Joiner,
): JoinAnswer {
  const { draft } = context;
  const { name: nodeName } = memberOf(context, joiner.nodeId);
  // By another leader's clock the token had ended, and somebody may have it now.
  const found = draft.get("reservation", subnet)?.body.tokenId === tokenId;
  if (!found) refuseReserved(context, parsePrefix(subnet), { name: nodeName });
  draft.put("reservation", subnet, { nodeName });
  const wish = [subnet, ...joiner.wish ?? []];
  const answer = admitted(context, joiner.nodeId, { ...joiner, wish });
  if (!answer.lease.subnets.includes(subnet)) {
    throw new DenimError("LEASE_TAKEN", `${subnet}, which the token is for, cannot be given now`, {
      fix: "make another token on a server: denim token create --subnet SUBNET",
    });
  }
  if (joiner.ephemeral) draft.delete("reservation", subnet);
  return answer;
}

/** Whoever asks again gets a new certificate, and is to be remembered for as long as that is good. */
function renewCertificate(
  { draft }: Context,
  node: Pick<StateRecord<"node">, "key" | "body">,
  endsWallMs = 0,
): void {
  if (endsWallMs <= node.body.certificateEndsWallMs) return;
  draft.put("node", node.key, { ...node.body, certificateEndsWallMs: endsWallMs });
}

/** Adds the node's record; a taken name gets a number. */
export function addNode(context: Context, joiner: Joiner, tokenId?: string): void {
  const { draft } = context;
  if (draft.get("node", joiner.nodeId) !== undefined) {
    throw new DenimError("JOIN_REFUSED", `The node id ${joiner.nodeId} is in use`, {
      why: "another key already joined under it: the identity directory was copied",
      fix: "remove the directory on the new host, and join again",
    });
  }
  draft.delete("tombstone", joiner.nodeId);
  draft.put("node", joiner.nodeId, {
    name: freeName(context, joiner.name),
    role: joiner.role,
    ...(joiner.role === "server" ? { raftId: nextRaftId(draft), storeId: joiner.storeId } : {}),
    address: joiner.address,
    csrKey: joiner.csrKey,
    ...(tokenId === undefined ? {} : { tokenId }),
    version: joiner.version,
    features: joiner.features,
    ...(joiner.ephemeral ? { ephemeral: true } : {}),
    ...(joiner.zone ? { zone: joiner.zone } : {}),
    joinedWallMs: context.wallMs,
    certificateEndsWallMs: joiner.certificateEndsWallMs,
  });
}

/** What a joiner is told: who it is now, and its lease. */
export function admitted(context: Context, nodeId: string, joiner: Joiner): JoinAnswer {
  const { name, role, raftId } = memberOf(context, nodeId);
  const { attributes, wish = [] } = joiner;
  const lease = acquireLease(context, { kind: "lease.acquire", node: nodeId, attributes, wish });
  return { nodeId, name, role, raftId: raftId ?? null, lease };
}

const READMITTED = "readmitted ";

/** Its connection has proved it, and no request to join is on record. */
export function isKeyUnknown({ csrKey }: NodeBody): boolean {
  return csrKey.startsWith(READMITTED);
}

/** A certificate that was given out in what was lost ends no later than one of today. */
export const CERTIFICATE_MAX_MS = 90 * 86_400_000;

/**
 * A node that this state does not know is a member again, while the cluster is on hold: by its
 * certificate, unless it was removed. It has no lease until it claims one. One that was a server
 * has no raft id here: its log is of another history.
 */
export function readmitNode(context: Context, command: CommandOf<"node.readmit">): Canonical {
  const { draft, wallMs } = context;
  if (!mayComeBack(draft, command.node)) {
    memberOf(context, command.node);
    return null;
  }
  draft.put("node", command.node, {
    name: freeName(context, command.name),
    role: command.role,
    address: command.address,
    // No request to join can be repeated that this history has never seen.
    csrKey: `${READMITTED}${command.node}`,
    version: command.version,
    features: command.features,
    joinedWallMs: wallMs,
    certificateEndsWallMs: wallMs + CERTIFICATE_MAX_MS,
  });
  return null;
}

/**
 * A node has an empty store from now on. As a server it gets a new raft id: the old one may have
 * voted for what the old store has lost, so nobody votes under it again. Whoever still has the old
 * store, as a copy somewhere, lacks the start that is recorded here.
 *
 * That this could be committed is the proof that the group goes on without the old store: a
 * majority of all voters has it, and the asker is silent under its old id.
 */
export function rejoinNode(context: Context, command: CommandOf<"node.rejoin">): RejoinAnswer {
  const { draft } = context;
  const { node, storeId, startId, proof } = command;
  if (mayComeBack(draft, node)) readmitNode(context, { ...command, kind: "node.readmit" });
  const body = memberOf(context, node);
  const { epoch } = clusterOf(context);
  const { name, role, incarnation: recorded } = body;
  // The same request again: its first answer was lost. Starts are no secret, so a key has to fit.
  const isKnown = proof === undefined || proof.csrKey === body.csrKey;
  if (recorded?.startId === startId && isKnown) {
    renewCertificate(context, { key: node, body }, proof?.certificateEndsWallMs);
    return { name, role, raftId: body.raftId ?? null, epoch, incarnation: recorded };
  }
  if (proof !== undefined) proveReturn(context, node, body, proof);
  refuseSoleVoter(context, body);
  const incarnation = { counter: (recorded?.counter ?? 0) + 1, startId };
  const raftId = role === "server" ? nextRaftId(draft) : null;
  draft.put("node", node, {
    ...(proof === undefined ? body : withNewPapers(body, proof)),
    ...(raftId === null ? {} : { raftId, storeId }),
    incarnation,
  });
  return { name, role, raftId, epoch, incarnation };
}

/**
 * An earlier certificate may be good for longer than one that was made by a slower clock. Whom the
 * node believed is not to be relied on until it says so again: its files are new.
 */
function withNewPapers(body: NodeBody, { csrKey, certificateEndsWallMs }: ReturnProof): NodeBody {
  const { trust: _, ...rest } = body;
  const endsWallMs = Math.max(body.certificateEndsWallMs, certificateEndsWallMs);
  return { ...rest, csrKey, certificateEndsWallMs: endsWallMs };
}

/**
 * Any token lets a node come back that holds its key: the token stands for the operator's word, the
 * key for the node. Without the key it takes a token that was made for this very node.
 */
function proveReturn(context: Context, node: string, body: NodeBody, proof: ReturnProof): void {
  const { node: madeFor } = spend(context, proof.tokenId);
  if (madeFor !== undefined && madeFor !== node) {
    throw new DenimError("TOKEN_INVALID", `The token was not made for ${body.name}`, {
      why: "it lets another node come back",
      fix: `on a server: denim token create --node ${body.name}`,
    });
  }
  if (madeFor === node || proof.csrKey === body.csrKey) return;
  throw new DenimError("JOIN_REFUSED", `This host does not hold the key of ${body.name}`, {
    why: "a token alone lets nobody take the place of another node",
    fix:
      `if it is that node and its key is lost, on a server: denim token create --node ${body.name}`,
  });
}

function refuseSoleVoter({ draft }: Context, { name, raftId }: NodeBody): void {
  const { voters } = theGroup(draft);
  if (voters.length !== 1 || voters[0] !== raftId) return;
  throw new DenimError("REVISION_MISMATCH", `${name} is the only voter`, {
    why: "what its store has, nobody else has for certain",
  });
}

/** A node goes of its own will: its subnet is free at once, or set aside for its name. */
export function leaveNode(context: Context, command: CommandOf<"node.leave">): Canonical {
  const { draft } = context;
  const record = draft.get("node", command.node);
  if (record === undefined) return null;
  refuseMember(context, record);
  const lease = leaseOf(draft, record.key);
  if (lease !== undefined) giveBack(context, lease);
  const subnets = lease?.body.subnets ?? giveBackExpired(context, record.key);
  if (command.keepLease === true) {
    const reservation = { nodeName: record.body.name };
    for (const subnet of subnets) draft.put("reservation", subnet, reservation);
  }
  bury(context, record);
  return null;
}

/** A node is put out by others: its subnet waits until it cannot be using it any more. */
export function removeNode(context: Context, command: CommandOf<"node.remove">): Canonical {
  const gone = context.draft.get("tombstone", command.node);
  if (gone !== undefined) return { node: gone.key, name: gone.body.name };
  const record = findNode(context, command.node);
  banish(context, record);
  return { node: record.key, name: record.body.name };
}

export function updateNode(context: Context, command: CommandOf<"node.update">): Canonical {
  const body = memberOf(context, command.node);
  const { incarnation, address, version, features, trust } = command;
  // An earlier certificate may be good for longer than one that was made by a slower clock.
  const certificateEndsWallMs = Math.max(
    command.certificateEndsWallMs ?? 0,
    body.certificateEndsWallMs,
  );
  const { zone: knownZone, ...known } = body;
  const zone = command.zone ?? knownZone;
  // Each start counts one up: an equal count under another name is a copy of this node's disk.
  const started = incarnation !== undefined &&
    incarnation.counter > (body.incarnation?.counter ?? -1);
  const next: NodeBody = {
    ...known,
    ...(started ? { incarnation } : {}),
    ...(address === undefined ? {} : { address }),
    ...(version === undefined ? {} : { version }),
    ...(features === undefined ? {} : { features }),
    certificateEndsWallMs,
    ...(trust === undefined ? {} : { trust }),
    ...(zone ? { zone } : {}),
  };
  const changed = canonical(next as unknown as Canonical) !==
    canonical(body as unknown as Canonical);
  if (changed) context.draft.put("node", command.node, next);
  return null;
}

export function markSilent(context: Context, command: CommandOf<"node.silent">): Canonical {
  const record = context.draft.get("node", command.node);
  if (record === undefined || (record.body.silent === true) === command.silent) return null;
  const startId = record.body.incarnation?.startId;
  if (command.startId !== undefined && command.startId !== startId) return null;
  const { silent: _, ...heard } = record.body;
  context.draft.put("node", record.key, command.silent ? { ...heard, silent: true } : heard);
  return null;
}

function onlyToReturn(): DenimError {
  return new DenimError("TOKEN_INVALID", "The token was made for a node to come back", {
    why: "no new host can join with it",
    fix: "on that node: denim rejoin HOST; for a new host: denim token create",
  });
}

function freeName(context: Context, wanted: string): string {
  let name = wanted;
  for (let n = 2; nodeByName(context.draft, name) !== undefined; n++) name = `${wanted}-${n}`;
  return name;
}

function banish(context: Context, record: StateRecord<"node">): void {
  refuseMember(context, record);
  const lease = leaseOf(context.draft, record.key);
  if (lease !== undefined) confiscate(context, lease);
  bury(context, record);
}

/** By as much the clock of a server that judges a certificate may be behind the leader's. */
const CLOCKS_APART_MS = 86_400_000;

export function bury(context: Context, record: StateRecord<"node">): void {
  const { draft, wallMs } = context;
  draft.delete("node", record.key);
  draft.put("tombstone", record.key, {
    name: record.body.name,
    untilWallMs: record.body.certificateEndsWallMs,
  });
  for (const old of [...draft.all("tombstone")]) {
    if (old.body.untilWallMs + CLOCKS_APART_MS < wallMs) draft.delete("tombstone", old.key);
  }
}

export function holdsLog(state: StateReader, { body }: StateRecord<"node">): boolean {
  const { voters, learners } = theGroup(state);
  return body.raftId !== undefined && [...voters, ...learners].includes(body.raftId);
}

/** The Raft group lets a member go first; the planner does that. */
function refuseMember(context: Context, record: StateRecord<"node">): void {
  if (!holdsLog(context.draft, record)) return;
  throw new DenimError("REVISION_MISMATCH", `${record.body.name} still holds the log`, {
    why: "a server leaves the Raft group before it leaves the cluster",
    fix: "try again: the leader takes it out of the group first",
  });
}
