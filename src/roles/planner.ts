/** A server as the leader knows it. */
export interface Server {
  readonly raftId: number;
  /** The leader has heard from it within the last few seconds. */
  readonly reachable: boolean;
  /** As a member of the group: its log ends close to the leader's. */
  readonly caughtUp: boolean;
  /** It is on its way out, by its own wish or by an operator's. */
  readonly leaving: boolean;
  /** It has said that there is room on its disk. */
  readonly roomy: boolean;
}

export interface Situation {
  readonly leader: number;
  readonly voters: readonly number[];
  readonly learners: readonly number[];
  /** Nodes that may hold the log, whether they do or not. */
  readonly servers: readonly Server[];
  /** Voters to aim for once there are three servers: 3 or 5. */
  readonly votersWanted: number;
}

export type Step =
  /** Give it the CA key, then add it as a learner. */
  | { readonly kind: "add-standby"; readonly raftId: number }
  | { readonly kind: "promote"; readonly raftId: number }
  | { readonly kind: "demote"; readonly raftId: number }
  | { readonly kind: "remove"; readonly raftId: number }
  /** The leader is about to go, or its disk is running full, and hands over first. */
  | { readonly kind: "transfer"; readonly raftId: number };

const STANDBYS_WANTED = 2;

/**
 * The next change of the Raft group, one at a time; `undefined` when it is as it should be. One
 * voter below three servers, then the wanted number, and two standbys behind them. An even number
 * of voters only ever stands between two changes: it tolerates no more than one less would.
 */
export function nextStep(situation: Situation): Step | undefined {
  return farewell(situation) ?? relief(situation) ?? growth(situation) ?? shrinking(situation) ??
    reserve(situation);
}

function farewell(situation: Situation): Step | undefined {
  const { leader, voters, learners, servers } = situation;
  const stays = (raftId: number) =>
    servers.some((server) => server.raftId === raftId && !server.leaving);
  const going = [...learners, ...voters].filter((raftId) => !stays(raftId));
  const other = going.find((raftId) => raftId !== leader);
  if (other !== undefined && survives(situation, other)) return { kind: "remove", raftId: other };
  if (!going.includes(leader) || voters.length === 1) {
    return going.includes(leader) ? successor(situation) : undefined;
  }
  const heir = voters.find((raftId) => raftId !== leader && isCaughtUp(situation, raftId));
  return heir === undefined ? undefined : { kind: "transfer", raftId: heir };
}

/** A leader whose disk is running full writes more than anybody else: one with room is better. */
function relief(situation: Situation): Step | undefined {
  const { leader, voters } = situation;
  if (serverOf(situation, leader)?.roomy !== false) return undefined;
  const heir = voters.find((raftId) =>
    raftId !== leader && isCaughtUp(situation, raftId) && serverOf(situation, raftId)!.roomy
  );
  return heir === undefined ? undefined : { kind: "transfer", raftId: heir };
}

/** A sole voter that wants to go makes a caught-up standby a voter first. */
function successor(situation: Situation): Step | undefined {
  const heir = situation.learners.find((raftId) => isCaughtUp(situation, raftId));
  return heir === undefined ? undefined : { kind: "promote", raftId: heir };
}

function growth(situation: Situation): Step | undefined {
  const { voters, learners } = situation;
  const missing = votersAimedFor(situation) - voters.length;
  if (missing <= 0) return undefined;
  const ready = learners.filter((raftId) => isCaughtUp(situation, raftId)).sort(ascending);
  // From an odd number two go together, or none.
  const together = voters.length % 2 === 1 ? 2 : 1;
  return ready.length >= together ? { kind: "promote", raftId: ready[0]! } : undefined;
}

function shrinking(situation: Situation): Step | undefined {
  const { leader, voters } = situation;
  const aim = votersAimedFor(situation);
  const even = voters.length % 2 === 0 && !canGrow(situation);
  if (voters.length <= aim && !even) return undefined;
  const candidates = voters.filter((raftId) => raftId !== leader).sort(ascending);
  const unreachable = candidates.filter((raftId) => !serverOf(situation, raftId)?.reachable);
  const raftId = unreachable[0] ?? candidates.at(-1);
  if (raftId === undefined || !survives(situation, raftId)) return undefined;
  return { kind: "demote", raftId };
}

function reserve(situation: Situation): Step | undefined {
  const { voters, learners, servers } = situation;
  const missing = votersAimedFor(situation) - voters.length;
  if (learners.length >= STANDBYS_WANTED + Math.max(0, missing)) return undefined;
  const candidate = servers
    .filter(({ raftId, reachable, leaving }) =>
      reachable && !leaving && !voters.includes(raftId) && !learners.includes(raftId)
    )
    .sort((a, b) => a.raftId - b.raftId)[0];
  return candidate === undefined ? undefined : { kind: "add-standby", raftId: candidate.raftId };
}

function votersAimedFor({ servers, votersWanted }: Situation): number {
  const staying = servers.filter(({ leaving }) => !leaving).length;
  if (staying < 3) return 1;
  return Math.min(votersWanted, staying % 2 === 1 ? staying : staying - 1);
}

/** There is a server, in the group or reachable, that could make the number of voters odd. */
function canGrow({ learners, servers, voters }: Situation): boolean {
  return servers.some(({ raftId, reachable, leaving }) =>
    !leaving && !voters.includes(raftId) && (reachable || learners.includes(raftId))
  );
}

/** The group without this member still has a majority that the leader can reach. */
function survives(situation: Situation, without: number): boolean {
  const { leader, voters } = situation;
  if (!voters.includes(without)) return true;
  const rest = voters.filter((raftId) => raftId !== without);
  const active = rest.filter((raftId) =>
    raftId === leader || serverOf(situation, raftId)?.reachable === true
  );
  return active.length >= Math.floor(rest.length / 2) + 1;
}

function serverOf(situation: Situation, raftId: number): Server | undefined {
  return situation.servers.find((server) => server.raftId === raftId);
}

function isCaughtUp(situation: Situation, raftId: number): boolean {
  const server = serverOf(situation, raftId);
  return server !== undefined && server.reachable && server.caughtUp && !server.leaving;
}

function ascending(a: number, b: number): number {
  return a - b;
}
