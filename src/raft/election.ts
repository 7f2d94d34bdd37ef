/** How a leader comes to be (Raft paper, sections 5.2 and 5.4.1; thesis, sections 3.10 and 9.6). */
import { isVoter } from "./configuration.ts";
import { becomeFollower, type Core, reset, send } from "./core.ts";
import { NOBODY } from "./entry.ts";
import type { PreVote, PreVoteResponse, TimeoutNow, Vote, VoteResponse } from "./message.ts";
import { type Tally, tally } from "./quorum.ts";
import { refusal } from "./refusal.ts";
import { appendOwn, broadcastAppend } from "./replication.ts";

export type CampaignResult =
  | "started"
  /** It leads already. */
  | "leading"
  /** Not a voter as far as it knows, or with a snapshot to install first. */
  | "not-promotable"
  /** A change is committed but not applied: it might campaign in a configuration that is over. */
  | "change-unapplied";

type Round = "pre-election" | "election" | "transfer";

export function campaign(core: Core): CampaignResult {
  return startCampaign(core, core.options.preVote ? "pre-election" : "election");
}

/**
 * With changes that take effect when applied, a server that campaigned before it applied one could
 * win by a majority of the old configuration beside a leader of the new one (etcd #7280, raft
 * PR 469).
 */
function startCampaign(core: Core, round: Round): CampaignResult {
  if (core.role === "leader") return "leading";
  if (!isPromotable(core)) return "not-promotable";
  if (core.log.hasChange(core.log.applied + 1, core.log.commit)) return "change-unapplied";
  ask(core, round);
  return "started";
}

export function isPromotable(core: Core): boolean {
  return isVoter(core.configuration, core.id) && core.log.installing === undefined;
}

/** Its own vote counts too, but like any other only once it is on disk. */
function ask(core: Core, round: Round): void {
  if (round === "pre-election") becomePreCandidate(core);
  else becomeCandidate(core);
  const { index: lastIndex, term: lastTerm } = core.log.last;
  for (const to of core.configuration.voters) {
    if (round === "pre-election") {
      const term = core.term + 1;
      if (to === core.id) send(core, { kind: "pre-vote-response", to, granted: true }, term);
      else send(core, { kind: "pre-vote", to, lastIndex, lastTerm }, term);
    } else if (to === core.id) {
      send(core, { kind: "vote-response", to, granted: true });
    } else {
      send(core, { kind: "vote", to, lastIndex, lastTerm, transfer: round === "transfer" });
    }
  }
}

/** Neither the term nor the vote moves: asking is free (Raft thesis, section 9.6). */
function becomePreCandidate(core: Core): void {
  core.votes.clear();
  core.leader = NOBODY;
  core.role = "pre-candidate";
}

function becomeCandidate(core: Core): void {
  reset(core, core.term + 1);
  core.vote = core.id;
  core.role = "candidate";
}

/**
 * The empty entry commits what earlier terms left (Raft paper, section 8). Any change that may be
 * in the log counts as pending until everything up to here is applied.
 */
function becomeLeader(core: Core): void {
  reset(core, core.term);
  core.role = "leader";
  core.leader = core.id;
  const own = core.progress.get(core.id);
  own?.becomeReplicate();
  if (own) own.active = true;
  core.pendingChangeIndex = core.log.last.index;
  appendOwn(core, [{ type: "normal", data: "" }]);
  broadcastAppend(core);
}

/**
 * Whoever has heard a leader within the shortest election timeout does not let itself be disturbed
 * by a candidate, unless that leader sent it (Raft thesis, section 4.2.3).
 */
export function isInLease(core: Core): boolean {
  return core.options.checkQuorum && core.leader !== NOBODY &&
    core.electionElapsed < core.options.electionTicks;
}

/**
 * Every server votes, a learner too: one that is asked may be a voter that has not heard of its
 * promotion yet, and its vote may be the one that is needed (etcd #10998).
 */
export function onVote(core: Core, message: Vote): void {
  const free = core.vote === message.from || (core.vote === NOBODY && core.leader === NOBODY);
  const granted = free && isCandidateUpToDate(core, message);
  if (granted) {
    core.vote = message.from;
    core.electionElapsed = 0;
  }
  send(core, {
    kind: "vote-response",
    to: message.from,
    ...(granted ? { granted } : refusal(core)),
  });
}

/**
 * Records nothing, and does not put off this server's own election: a granted pre-vote is not a
 * vote (hashicorp/raft #609). The grant echoes the term it is for.
 */
export function onPreVote(core: Core, message: PreVote): void {
  const free = message.term > core.term || core.vote === message.from ||
    (core.vote === NOBODY && core.leader === NOBODY);
  const granted = free && isCandidateUpToDate(core, message);
  if (granted) send(core, { kind: "pre-vote-response", to: message.from, granted }, message.term);
  else refusePreVote(core, message);
}

export function refusePreVote(core: Core, { from }: PreVote): void {
  send(core, { kind: "pre-vote-response", to: from, ...refusal(core) });
}

function isCandidateUpToDate(core: Core, { lastIndex, lastTerm }: Vote | PreVote): boolean {
  return core.log.isUpToDate({ index: lastIndex, term: lastTerm });
}

export function onVoteResponse(core: Core, message: VoteResponse): void {
  switch (record(core, message)) {
    case "won":
      return becomeLeader(core);
    case "lost":
      return becomeFollower(core, core.term, NOBODY);
  }
}

export function onPreVoteResponse(core: Core, message: PreVoteResponse): void {
  switch (record(core, message)) {
    case "won":
      return ask(core, "election");
    case "lost":
      return becomeFollower(core, core.term, NOBODY);
  }
}

/** The first answer stands; a repeated message does not vote twice. */
function record(core: Core, { from, granted }: VoteResponse | PreVoteResponse): Tally {
  if (!core.votes.has(from)) core.votes.set(from, granted);
  return tally(core.configuration.voters, (id) => core.votes.get(id));
}

/** The leader wants this server to take over: no pre-vote, for the leader will not mind. */
export function onTimeoutNow(core: Core, message: TimeoutNow): void {
  if (message.from !== core.leader) return;
  startCampaign(core, "transfer");
}

/** Follower and candidates: nobody leads, or nobody is heard. */
export function tickElection(core: Core): void {
  core.electionElapsed++;
  if (core.electionElapsed < core.electionTimeoutTicks || !isPromotable(core)) return;
  core.electionElapsed = 0;
  campaign(core);
}
