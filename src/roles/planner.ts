import { compare, Group, type Situation, type Step } from "./situation.ts";

const STANDBYS_WANTED = 2;
/** A standby of another zone is not worth a change before it has shown that it stays. */
const SETTLED_MS = 60_000;

/** The first one that has something to say, and would not cost the majority, is followed. */
const RULES: readonly ((group: Group) => Step | undefined)[] = [
  ...[handover, farewell, growth, replacement, exchange, shrinking, reserve],
];

/**
 * The next change of the Raft group, one at a time; `undefined` when it is as it should be. One
 * voter below three servers, then the wanted number, and two standbys behind them.
 *
 * An even number of voters only ever stands between two changes: it tolerates no more losses than
 * one voter less would. Which of the two comes first? The dead go before their successor comes: of
 * three and of two a majority is two, of four it is three, and would need the newcomer at once.
 * The living go after their successor has come: four of whom all live tolerate a loss, and two do
 * not. Nobody is sent away for being dead where nobody could come, so that such losses never make
 * the group smaller; who leaves, or is removed by hand, does (Consul #5922).
 */
export function nextStep(situation: Situation): Step | undefined {
  const group = new Group(situation);
  for (const rule of RULES) {
    const step = rule(group);
    if (step !== undefined && group.survives(step)) return step;
  }
  return undefined;
}

/** A leader that is to go, or whose disk is running full, is followed by a better one. */
function handover(group: Group): Step | undefined {
  const { leader, voters } = group;
  const goes = group.isGoing(leader);
  const yields = goes || group.preference(leader) < 0;
  // Who is one too many is gone in a moment, and must not be handed to before.
  const hasRoom = group.server(leader)?.roomy === true || voters.length > group.aim;
  if (!yields && hasRoom) return undefined;
  const raftId = group.best(voters.filter((other) =>
    other !== leader && group.isReady(other) &&
    (goes || group.preference(other) >= 0) && (yields || group.server(other)!.roomy)
  ));
  if (raftId !== undefined) return { kind: "transfer", raftId };
  // A sole voter that wants to go makes a standby a voter first.
  const successor = goes && voters.length === 1 ? group.best(group.ready) : undefined;
  return successor === undefined ? undefined : { kind: "promote", raftId: successor };
}

/** Who leads best after a leader that stops, if anybody can. */
export function heirOf(situation: Situation): number | undefined {
  const group = new Group(situation);
  const others = group.voters.filter((other) => other !== group.leader && group.isReady(other));
  return group.best(others.filter((other) => group.server(other)!.roomy)) ?? group.best(others);
}

/** Who has left, or wants to, goes; a living voter once its successor is there, if there is one. */
function farewell(group: Group): Step | undefined {
  const { leader, learners, voters, aim } = group;
  const going = [...learners, ...voters].filter((raftId) =>
    raftId !== leader && group.isGoing(raftId) && group.survives({ kind: "remove", raftId })
  );
  const raftId = going.find((raftId) => group.isAway(raftId)) ?? going[0];
  if (raftId === undefined) return undefined;
  const staying = voters.filter((voter) => !group.isGoing(voter)).length;
  const isMissed = voters.includes(raftId) && !group.isAway(raftId) && staying < aim;
  const successor = isMissed && voters.length % 2 === 1 ? group.best(group.ready) : undefined;
  return successor === undefined
    ? { kind: "remove", raftId }
    : { kind: "promote", raftId: successor };
}

function growth(group: Group): Step | undefined {
  const { voters, aim, ready } = group;
  if (voters.length >= aim) return undefined;
  // From an odd number two go together, or none.
  const together = voters.length % 2 === 1 ? 2 : 1;
  return ready.length < together ? undefined : { kind: "promote", raftId: group.best(ready)! };
}

/** A lost voter makes room for a standby, and is one itself, should it come back. */
function replacement(group: Group): Step | undefined {
  const { voters, ready } = group;
  if (voters.length % 2 === 0 || ready.length === 0) return undefined;
  const raftId = voters.find((voter) => group.isLost(voter));
  return raftId === undefined ? undefined : { kind: "demote", raftId };
}

/**
 * While all are there, a standby comes in that makes a better group, by an operator's word or by
 * its zone; {@link shrinking} then lets one go. Each exchange is a gain, so they come to an end.
 */
function exchange(group: Group): Step | undefined {
  const { voters, aim, ready } = group;
  if (voters.length !== aim || voters.some((voter) => group.isAway(voter))) return undefined;
  const raftId = group.best(ready.filter((standby) => {
    const { gains, byHand } = gainOf(group, standby);
    return gains && (byHand || group.stableMs(standby) >= SETTLED_MS);
  }));
  return raftId === undefined ? undefined : { kind: "promote", raftId };
}

/** Whether the voters are a better group with this server in one's place, and by whose word. */
function gainOf(
  group: Group,
  raftId: number,
): { readonly gains: boolean; readonly byHand: boolean } {
  const { voters } = group;
  const all = [...voters, raftId];
  const after = all.filter((voter) => voter !== group.worst(all));
  return {
    gains: compare(worth(group, after), worth(group, voters)) > 0,
    byHand: wishes(group, after) > wishes(group, voters),
  };
}

function worth(group: Group, voters: readonly number[]): readonly number[] {
  return [wishes(group, voters), group.zones(voters)];
}

function wishes(group: Group, voters: readonly number[]): number {
  return voters.reduce((sum, voter) => sum + group.preference(voter), 0);
}

function shrinking(group: Group): Step | undefined {
  const { voters, aim, leader } = group;
  if (voters.length <= aim) return undefined;
  const others = voters.filter((other) => other !== leader);
  const isLeaders = group.worst(voters) === leader;
  const heir = isLeaders ? group.best(others.filter((other) => group.isReady(other))) : undefined;
  return heir === undefined
    ? { kind: "demote", raftId: group.worst(others, voters)! }
    : { kind: "transfer", raftId: heir };
}

/** Two standbys, and those who are to become voters: who is needed as one comes in first. */
function reserve(group: Group): Step | undefined {
  const { voters, learners, aim } = group;
  const room = STANDBYS_WANTED + Math.max(0, aim - voters.length) - learners.length;
  const candidate = group.best(group.candidates);
  if (room > 0) {
    return candidate === undefined ? undefined : { kind: "add-standby", raftId: candidate };
  }
  const lost = learners.find((raftId) => group.isLost(raftId));
  if (room < 0) return { kind: "remove", raftId: lost ?? group.worst(learners)! };
  if (candidate === undefined) return undefined;
  const raftId = lost ?? madeWayFor(candidate, group);
  return raftId === undefined ? undefined : { kind: "remove", raftId };
}

/**
 * The standby in whose place one is taken in that would be exchanged for a voter, where no standby
 * would be. Only one that is surely taken in next: else the two would come and go for ever.
 */
function madeWayFor(candidate: number, group: Group): number | undefined {
  const { learners, voters, aim, candidates } = group;
  if (voters.length !== aim || voters.some((voter) => group.isAway(voter))) return undefined;
  const { gains, byHand } = gainOf(group, candidate);
  if (!gains || !(byHand || group.stableMs(candidate) >= SETTLED_MS)) return undefined;
  if (learners.some((standby) => gainOf(group, standby).gains)) return undefined;
  const raftId = group.worst(learners);
  const next = raftId === undefined ? undefined : group.best([...candidates, raftId]);
  return next === candidate ? raftId : undefined;
}
