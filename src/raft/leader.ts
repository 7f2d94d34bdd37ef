/** What a leader does beside replicating: beat, check its quorum, take proposals, hand over. */
import { isVoter } from "./configuration.ts";
import { becomeFollower, type Core, send } from "./core.ts";
import { NOBODY, type Proposal } from "./entry.ts";
import { tally } from "./quorum.ts";
import { appendOwn, broadcastAppend, broadcastHeartbeat, sendAppend } from "./replication.ts";

export type ProposeRefusal =
  /** Nobody is known to lead, or this leader is not a member any more. Try again later. */
  | { readonly kind: "no-leader" }
  /** Too much is uncommitted. */
  | { readonly kind: "overloaded" }
  /** Leadership is being handed over. */
  | { readonly kind: "transferring" }
  /** An earlier change, or one that may be in the log, is not applied yet. */
  | { readonly kind: "change-pending"; readonly index: number };

export type ProposeResult =
  /** In this leader's log. Not committed: it is when the entry at this index has this term. */
  | { readonly kind: "accepted"; readonly firstIndex: number; readonly term: number }
  /** On its way to the leader; what becomes of it is not known here. */
  | { readonly kind: "forwarded"; readonly to: number }
  | ProposeRefusal;

export type TransferResult =
  | "started"
  /** Passed on to the leader. */
  | "forwarded"
  | "no-leader"
  /** Not a voter, leading already, or already being handed to. */
  | "ignored";

export function tickLeader(core: Core): void {
  core.heartbeatElapsed++;
  core.electionElapsed++;
  for (const progress of core.progress.values()) progress.tick();
  if (core.electionElapsed >= core.options.electionTicks) {
    core.electionElapsed = 0;
    core.transferee = NOBODY;
    if (core.options.checkQuorum) checkQuorum(core);
    if (core.role !== "leader") return;
  }
  if (core.heartbeatElapsed < core.options.heartbeatTicks) return;
  core.heartbeatElapsed = 0;
  broadcastHeartbeat(core);
}

/** A leader that a majority has not answered for an election timeout is one no more (§6.2). */
function checkQuorum(core: Core): void {
  const active = (id: number) => id === core.id || core.progress.get(id)?.active === true;
  const result = tally(core.configuration.voters, active);
  if (result !== "won") becomeFollower(core, core.term, NOBODY);
  for (const [id, progress] of core.progress) {
    if (id !== core.id) progress.active = false;
  }
}

export function propose(core: Core, proposals: readonly Proposal[]): ProposeResult {
  if (core.role === "leader") return proposeAsLeader(core, proposals);
  const mayForward = core.options.forwardProposals === true && core.role === "follower";
  if (!mayForward || core.leader === NOBODY) return { kind: "no-leader" };
  send(core, { kind: "propose", to: core.leader, proposals }, 0);
  return { kind: "forwarded", to: core.leader };
}

function proposeAsLeader(core: Core, proposals: readonly Proposal[]): ProposeResult {
  if (!core.progress.has(core.id)) return { kind: "no-leader" };
  if (core.transferee !== NOBODY) return { kind: "transferring" };
  const firstIndex = core.log.last.index + 1;
  const change = proposals.findIndex((proposal) => proposal.type === "change");
  if (change !== -1 && core.pendingChangeIndex > core.log.applied) {
    return { kind: "change-pending", index: core.pendingChangeIndex };
  }
  if (!appendOwn(core, proposals)) return { kind: "overloaded" };
  if (change !== -1) core.pendingChangeIndex = firstIndex + change;
  broadcastAppend(core);
  return { kind: "accepted", firstIndex, term: core.term };
}

export function transferLeadership(core: Core, to: number): TransferResult {
  if (core.role === "leader") return transferAsLeader(core, to);
  if (core.leader === NOBODY) return "no-leader";
  send(core, { kind: "transfer", to: core.leader, transferee: to }, 0);
  return "forwarded";
}

/**
 * Brings the other one up to date, then tells it to campaign (Raft thesis, section 3.10). If that
 * takes longer than an election timeout, this leader goes on as before.
 */
function transferAsLeader(core: Core, to: number): TransferResult {
  const progress = core.progress.get(to);
  if (progress === undefined || !isVoter(core.configuration, to)) return "ignored";
  if (to === core.transferee) return "ignored";
  core.transferee = NOBODY;
  if (to === core.id) return "ignored";
  core.electionElapsed = 0;
  core.transferee = to;
  if (progress.match === core.log.last.index) send(core, { kind: "timeout-now", to });
  else sendAppend(core, to, { evenEmpty: true });
  return "started";
}
