/** What term a message is of, and whose it is to handle. The handlers are in their own files. */
import { becomeFollower, type Core, send } from "./core.ts";
import {
  isInLease,
  onPreVote,
  onPreVoteResponse,
  onTimeoutNow,
  onVote,
  onVoteResponse,
  refusePreVote,
} from "./election.ts";
import { NOBODY } from "./entry.ts";
import { onAppend, onHeartbeat, onSnapshot } from "./follower.ts";
import { propose, type ProposeRefusal, transferLeadership } from "./leader.ts";
import type { Message, Propose } from "./message.ts";
import { onReadIndex, onReadIndexResponse } from "./reads.ts";
import { learnCommit } from "./refusal.ts";
import { onAppendAccepted, onAppendRejected, onHeartbeatResponse } from "./replication.ts";

export type StepResult =
  /** Taken in, or ignored as late. */
  | "ok"
  /** A response from a server that is not a member (hashicorp/raft #525). */
  | "unknown-peer"
  /** Why a forwarded proposal was refused. */
  | ProposeRefusal["kind"];

export function stepMessage(core: Core, message: Message): StepResult {
  // Before the terms are compared: a refusal may count for nothing and still bring that.
  if ("committed" in message) learnCommit(core, message.committed);
  if (!isOfThisTerm(core, message)) return "ok";
  if (message.kind === "vote") onVote(core, message);
  else if (message.kind === "pre-vote") onPreVote(core, message);
  else if (message.kind === "propose") return stepProposal(core, message);
  else if (message.kind === "transfer") transferLeadership(core, message.transferee);
  else stepByRole(core, message);
  return "ok";
}

function stepByRole(core: Core, message: Message): void {
  switch (core.role) {
    case "leader":
      return stepLeader(core, message);
    case "candidate":
    case "pre-candidate":
      return stepCandidate(core, message);
    case "follower":
      return stepFollower(core, message);
    default:
      core.role satisfies never;
  }
}

/** What is not listed is late: it was meant for a role that is over. So in the next two. */
function stepLeader(core: Core, message: Message): void {
  switch (message.kind) {
    case "append-accepted":
      return onAppendAccepted(core, message);
    case "append-rejected":
      return onAppendRejected(core, message);
    case "heartbeat-response":
      return onHeartbeatResponse(core, message);
    case "read-index":
      return onReadIndex(core, message);
    default:
      return stepLeadersWord(core, message);
  }
}

function stepCandidate(core: Core, message: Message): void {
  switch (message.kind) {
    case "vote-response":
      return core.role === "candidate" ? onVoteResponse(core, message) : undefined;
    case "pre-vote-response":
      return core.role === "pre-candidate" ? onPreVoteResponse(core, message) : undefined;
    default:
      return stepLeadersWord(core, message);
  }
}

function stepFollower(core: Core, message: Message): void {
  switch (message.kind) {
    case "timeout-now":
      return onTimeoutNow(core, message);
    case "read-index-response":
      return onReadIndexResponse(core, message);
    default:
      return stepLeadersWord(core, message);
  }
}

/** Heard in every role: a candidate gives up, and a leader has found an impossible second one. */
function stepLeadersWord(core: Core, message: Message): void {
  switch (message.kind) {
    case "append":
      return onAppend(core, message);
    case "heartbeat":
      return onHeartbeat(core, message);
    case "snapshot":
      return onSnapshot(core, message);
  }
}

function stepProposal(core: Core, message: Propose): StepResult {
  const result = propose(core, message.proposals);
  return result.kind === "accepted" || result.kind === "forwarded" ? "ok" : result.kind;
}

/** Brings the terms together first (Raft paper, section 5.1). False where that is all there is. */
function isOfThisTerm(core: Core, message: Message): boolean {
  if (message.kind === "propose" || message.kind === "read-index" || message.kind === "transfer") {
    return true;
  }
  if (message.term > core.term) return rise(core, message);
  if (message.term === core.term) return true;
  answerStale(core, message);
  return false;
}

function rise(core: Core, message: Message): boolean {
  switch (message.kind) {
    case "vote":
      if (isInLease(core) && !message.transfer) return false;
      becomeFollower(core, message.term, NOBODY);
      return true;
    case "pre-vote":
      return !isInLease(core);
    case "pre-vote-response":
      if (!message.granted) becomeFollower(core, message.term, NOBODY);
      return true;
    case "append":
    case "heartbeat":
    case "snapshot":
      becomeFollower(core, message.term, message.from);
      return true;
    default:
      becomeFollower(core, message.term, NOBODY);
      return true;
  }
}

/**
 * Mostly silence. But where a higher term is not pushed on everyone by campaigning, its owner
 * could be stuck: a leader of a lower term has to hear that it is over, and a pre-candidate that
 * is behind has to learn the term (etcd #8243, #8501).
 */
function answerStale(core: Core, message: Message): void {
  const { checkQuorum, preVote } = core.options;
  const fromLeader = message.kind === "append" || message.kind === "heartbeat";
  if (fromLeader && (checkQuorum || preVote)) {
    send(core, { kind: "append-accepted", to: message.from, index: 0 });
  } else if (message.kind === "pre-vote") {
    refusePreVote(core, message);
  }
}
