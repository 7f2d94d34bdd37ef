import type { Canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import type { Answer, Command, Stamp } from "./command.ts";
import { ELAPSED_MAX_MS } from "./command.ts";
import type { Context } from "./context.ts";
import { expireLeases } from "./expire-command.ts";
import { claimLease } from "./claim-command.ts";
import { initCluster, setNetwork, setVoters } from "./cluster-commands.ts";
import { noteFork, reformCluster, releaseHold } from "./epoch-commands.ts";
import { raiseLevel } from "./feature-level.ts";
import { acquireLease, releaseLease, renewLease } from "./lease-commands.ts";
import { preferNode } from "./prefer-command.ts";
import {
  joinNode,
  leaveNode,
  markSilent,
  readmitNode,
  rejoinNode,
  removeNode,
  updateNode,
} from "./node-commands.ts";
import { SINGLE, type StateChange } from "./records.ts";
import {
  endReservations,
  moveLease,
  putReservation,
  removeReservation,
} from "./reservation-commands.ts";
import { Draft, nextRaftId, nodeByRaftId, type State, theGroup } from "./state.ts";
import { createToken, revokeToken } from "./token-commands.ts";
import { addCa, dropCa, leaveSilentBehind, useCa } from "./trust-commands.ts";

export interface Applied {
  readonly answer: Answer;
  readonly changes: readonly StateChange[];
}

/**
 * One committed entry's effect, the same on every replica: no clock, no chance, no IO. A refused
 * command changes nothing but the lease clock.
 */
export function apply(state: State, index: number, stamp: Stamp, command: Command): Applied {
  const elapsedMs = Math.min(Math.max(Math.trunc(stamp.elapsedMs), 0), ELAPSED_MAX_MS);
  const clockMs = state.clockMs + elapsedMs;
  const draft = new Draft(state, { index, clockMs });
  let answer: Answer;
  try {
    answer = { ok: true, value: perform({ draft, wallMs: stamp.wallMs }, command) };
  } catch (error) {
    // Anything but a refusal is a fault of the program and must stop this replica.
    if (!(error instanceof DenimError)) throw error;
    state.commit(index, [], clockMs);
    return { answer: { ok: false, error: error.toJSON() }, changes: [] };
  }
  const changes = draft.changes();
  state.commit(index, changes, clockMs);
  return { answer, changes };
}

/**
 * The Raft group as a record, so that every node can see who votes. A raft id is good for one
 * membership: who leaves gets another one for the next time, for it gives up its log, and under the
 * old id it would vote as if it had never had one.
 */
export function applyGroup(
  state: State,
  index: number,
  group: { readonly voters: readonly number[]; readonly learners: readonly number[] },
): readonly StateChange[] {
  const draft = new Draft(state, { index, clockMs: state.clockMs });
  const former = theGroup(draft);
  draft.put("group", SINGLE, { voters: [...group.voters], learners: [...group.learners] });
  const stays = new Set([...group.voters, ...group.learners]);
  for (const raftId of [...former.voters, ...former.learners]) {
    const node = stays.has(raftId) ? undefined : nodeByRaftId(draft, raftId);
    if (node === undefined) continue;
    draft.put("node", node.key, { ...node.body, raftId: nextRaftId(draft) });
  }
  const changes = draft.changes();
  state.commit(index, changes, state.clockMs);
  return changes;
}

function perform(context: Context, command: Command): Canonical {
  switch (command.kind) {
    case "cluster.init":
      return initCluster(context, command);
    case "cluster.reform":
      return reformCluster(context, command);
    case "cluster.release-hold":
      return releaseHold(context, command);
    case "cluster.fork-seen":
      return noteFork(context, command);
    case "cluster.raise-level":
      return raiseLevel(context, command);
    case "cluster.set-voters":
      return setVoters(context, command);
    case "network.set":
      return setNetwork(context, command);
    case "node.join":
      return joinNode(context, command);
    case "node.readmit":
      return readmitNode(context, command);
    case "node.rejoin":
      return rejoinNode(context, command);
    case "node.leave":
      return leaveNode(context, command);
    case "node.remove":
      return removeNode(context, command);
    case "node.update":
      return updateNode(context, command);
    case "node.prefer":
      return preferNode(context, command);
    case "node.silent":
      return markSilent(context, command);
    case "lease.acquire":
      return acquireLease(context, command);
    case "lease.renew":
      return renewLease(context, command);
    case "lease.claim":
      return claimLease(context, command);
    case "lease.release":
      return releaseLease(context, command);
    case "lease.expire":
      return expireLeases(context, command);
    case "lease.move":
      return moveLease(context, command);
    case "token.create":
      return createToken(context, command);
    case "token.revoke":
      return revokeToken(context, command);
    case "ca.add":
      return addCa(context, command);
    case "ca.use":
      return useCa(context, command);
    case "ca.drop":
      return dropCa(context, command);
    case "ca.leave-silent":
      return leaveSilentBehind(context);
    case "reservation.put":
      return putReservation(context, command);
    case "reservation.remove":
      return removeReservation(context, command);
    case "tick":
      return endReservations(context);
    case "check":
      return null;
    default:
      command satisfies never;
      // A command that this program does not know must not be skipped: replicas would differ.
      throw new Error(`unknown command "${(command as { kind: string }).kind}"`);
  }
}
