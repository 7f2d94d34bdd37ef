import type { Canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import type { CommandOf, JoinAnswer, Joiner, RejoinAnswer } from "./command.ts";
import { clusterOf, type Context, findNode, mayComeBack, memberOf } from "./context.ts";
import { refuseOnHold } from "./hold.ts";
import { acquireLease } from "./lease-commands.ts";
import { type NodeBody, SINGLE, type StateRecord } from "./records.ts";
import { leaseOf, nodeByName, type StateReader, theGroup } from "./state.ts";
import { confiscate, giveBack } from "./tenure.ts";

/** The one entry of a join: it consumes the use, adds the node and grants the lease. */
export function joinNode(context: Context, command: CommandOf<"node.join">): Canonical {
  const { draft } = context;
  const known = draft.find("nodeByCsrKey", command.node.csrKey)[0];
  // The same request again: its first answer was lost. It costs nothing.
  if (known !== undefined) return admitted(context, known.key, command.node);
  refuseOnHold(context, "No host can join now");
  spend(context, command.tokenId);
  if (command.node.replace !== undefined) {
    banish(context, findNode(context, command.node.replace));
  }
  addNode(context, command.node, command.tokenId);
  return admitted(context, command.node.nodeId, command.node);
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
    ...(joiner.role === "server" ? { raftId: nextRaftId(context), storeId: joiner.storeId } : {}),
    address: joiner.address,
    csrKey: joiner.csrKey,
    ...(tokenId === undefined ? {} : { tokenId }),
    version: joiner.version,
    features: joiner.features,
    ...(joiner.ephemeral ? { ephemeral: true } : {}),
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

/** A certificate that was given out in what was lost ends no later than one of today. */
const CERTIFICATE_MAX_MS = 90 * 86_400_000;

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
    csrKey: `readmitted ${command.node}`,
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
  const { node, storeId, startId } = command;
  if (mayComeBack(draft, node)) readmitNode(context, { ...command, kind: "node.readmit" });
  const body = memberOf(context, node);
  const { epoch } = clusterOf(context);
  const recorded = body.incarnation;
  // The same request again: its first answer was lost.
  if (recorded?.startId === startId) {
    return { raftId: body.raftId ?? null, epoch, incarnation: recorded };
  }
  refuseSoleVoter(context, body);
  const incarnation = { counter: (recorded?.counter ?? 0) + 1, startId };
  const raftId = body.role === "server" ? nextRaftId(context) : null;
  draft.put("node", node, {
    ...body,
    ...(raftId === null ? {} : { raftId, storeId }),
    incarnation,
  });
  return { raftId, epoch, incarnation };
}

function refuseSoleVoter({ draft }: Context, { name, raftId }: NodeBody): void {
  const { voters } = theGroup(draft);
  if (voters.length !== 1 || voters[0] !== raftId) return;
  throw new DenimError("REVISION_MISMATCH", `${name} is the only voter`, {
    why: "what its store has, nobody else has for certain",
  });
}

/** A node goes of its own will: its subnet is free at once. */
export function leaveNode(context: Context, command: CommandOf<"node.leave">): Canonical {
  const { draft } = context;
  const record = draft.get("node", command.node);
  if (record === undefined) return null;
  refuseMember(context, record);
  const lease = leaseOf(draft, record.key);
  if (lease !== undefined) giveBack(context, lease);
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
  const { incarnation, address, version, features, certificateEndsWallMs } = command;
  // Each start counts one up: an equal count under another name is a copy of this node's disk.
  const started = incarnation !== undefined &&
    incarnation.counter > (body.incarnation?.counter ?? -1);
  const next: NodeBody = {
    ...body,
    ...(started ? { incarnation } : {}),
    ...(address === undefined ? {} : { address }),
    ...(version === undefined ? {} : { version }),
    ...(features === undefined ? {} : { features }),
    ...(certificateEndsWallMs === undefined ? {} : { certificateEndsWallMs }),
  };
  const changed = (Object.keys(next) as (keyof NodeBody)[])
    .some((key) => JSON.stringify(next[key]) !== JSON.stringify(body[key]));
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

function spend(context: Context, tokenId: string): void {
  const { draft } = context;
  const token = draft.get("token", tokenId)?.body;
  if (token === undefined) {
    throw new DenimError("TOKEN_INVALID", "The cluster does not know this token", {
      why: "it was revoked, or belongs to another cluster",
      fix: "make a new one on a server: denim token create",
    });
  }
  if (token.expiresWallMs <= context.wallMs) {
    throw new DenimError("TOKEN_EXPIRED", "The token has expired", {
      why: `it was good until ${new Date(token.expiresWallMs).toISOString()}`,
      fix: "make a new one on a server: denim token create --ttl 1h",
    });
  }
  if (token.usesLeft === 0) {
    throw new DenimError("TOKEN_USED", "The token has been used up", {
      why: "a token lets in as many hosts as it was made for, by default one",
      fix: "make a new one on a server: denim token create --uses N",
    });
  }
  if (token.usesLeft === null) return;
  draft.put("token", tokenId, { ...token, usesLeft: token.usesLeft - 1 });
}

function nextRaftId(context: Context): number {
  const cluster = clusterOf(context);
  const lastRaftId = cluster.lastRaftId + 1;
  context.draft.put("cluster", SINGLE, { ...cluster, lastRaftId });
  return lastRaftId;
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

export function bury(context: Context, record: StateRecord<"node">): void {
  const { draft, wallMs } = context;
  draft.delete("node", record.key);
  draft.put("tombstone", record.key, {
    name: record.body.name,
    untilWallMs: record.body.certificateEndsWallMs,
  });
  for (const old of [...draft.all("tombstone")]) {
    if (old.body.untilWallMs < wallMs) draft.delete("tombstone", old.key);
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
