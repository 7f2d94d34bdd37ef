/**
 * What a refused vote is good for: whoever refuses one says how far it knows the log to be
 * committed, as in TiKV's raft.
 *
 * A change counts from where it is applied, so for a while two servers may count differently. If
 * one of two voters has applied that it is none any more, and the other has the entry but lost the
 * news that it is committed, that one goes on needing the first one's vote. It would need it for
 * ever: who was demoted may have a longer log, and cannot be elected itself; who was removed has no
 * log left to vote by.
 */
import { becomeFollower, type Core } from "./core.ts";
import { NOBODY, type Place } from "./entry.ts";
import type { Message, PreVoteResponse, VoteResponse } from "./message.ts";

interface Refusal {
  readonly granted: false;
  readonly committed: Place;
}

export function refusal({ log }: Core): Refusal {
  return { granted: false, committed: { index: log.commit, term: log.termAt(log.commit)! } };
}

/**
 * What a server answers a candidate that counts it still, when it has left the group and given up
 * its log: no more than the last place that it had applied. Of no term, so that it is counted
 * neither as a vote nor as a refusal. `undefined` where the message asks for no vote.
 */
export function refusalOfFormer(
  message: Message,
  committed: Place,
): PreVoteResponse | VoteResponse | undefined {
  const envelope = { from: message.to, to: message.from, term: 0 };
  const refused = { granted: false, committed };
  if (message.kind === "pre-vote") return { kind: "pre-vote-response", ...envelope, ...refused };
  if (message.kind === "vote") return { kind: "vote-response", ...envelope, ...refused };
  return undefined;
}

/**
 * What is committed for one is committed for all, in every term, and logs that have the same index
 * and term in one place are the same up to there (Raft paper, figure 3). With another term it is
 * another entry, which may yet be replaced. What is beyond this log only a leader can bring.
 *
 * A candidate that so learns of a change gives up: it counts votes in a configuration that is over,
 * and might win by them beside a leader of the new one (etcd #7280). Once the change is applied it
 * may stand again. A leader knows better than who refuses it.
 */
export function learnCommit(core: Core, committed: Place | undefined): void {
  const { log } = core;
  if (committed === undefined || core.role === "leader") return;
  if (committed.index <= log.commit || !log.matches(committed)) return;
  const isOver = log.hasChange(log.commit + 1, committed.index);
  log.commitTo(committed.index);
  if (isOver && core.role !== "follower") becomeFollower(core, core.term, NOBODY);
}
