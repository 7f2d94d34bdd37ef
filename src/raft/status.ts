import type { Configuration } from "./configuration.ts";
import type { Core, Role } from "./core.ts";
import { NOBODY } from "./entry.ts";
import type { ProgressStatus } from "./progress.ts";

/** Everything there is to know about a core, as plain data. */
export interface Status {
  readonly id: number;
  readonly role: Role;
  readonly term: number;
  readonly vote: number;
  readonly leader: number;
  readonly firstIndex: number;
  readonly applied: number;
  readonly commit: number;
  readonly stable: number;
  readonly lastIndex: number;
  readonly lastTerm: number;
  readonly configuration: Configuration;
  readonly pendingChangeIndex: number;
  readonly transferee: number;
  readonly electionElapsed: number;
  readonly electionTimeoutTicks: number;
  readonly uncommittedBytes: number;
  /** Reads that wait to be confirmed here. */
  readonly pendingReads: number;
  /** By ascending id; empty unless leader. */
  readonly progress: readonly ProgressStatus[];
}

export function statusOf(core: Core): Status {
  const { log } = core;
  return {
    id: core.id,
    role: core.role,
    term: core.term,
    vote: core.vote,
    leader: core.leader,
    firstIndex: log.firstIndex,
    applied: log.applied,
    commit: log.commit,
    stable: log.stable,
    lastIndex: log.last.index,
    lastTerm: log.last.term,
    configuration: core.configuration,
    pendingChangeIndex: core.pendingChangeIndex,
    transferee: core.transferee,
    electionElapsed: core.electionElapsed,
    electionTimeoutTicks: core.electionTimeoutTicks,
    uncommittedBytes: core.uncommittedBytes,
    pendingReads: core.reads.size,
    progress: core.role === "leader"
      ? [...core.progress].map(([id, progress]) => progress.status(id))
      : [],
  };
}

/** One line about the server, and one about each of its followers while it leads. */
export function describe(status: Status): string {
  const { voters, learners } = status.configuration;
  const facts = [
    `raft ${status.id}: ${status.role} of term ${status.term}`,
    `leader ${name(status.leader)}`,
    `vote ${name(status.vote)}`,
    `log ${status.firstIndex}..${status.lastIndex}`,
    `stable ${status.stable}`,
    `commit ${status.commit}`,
    `applied ${status.applied}`,
    `voters [${voters.join(" ")}]`,
    ...(learners.length ? [`learners [${learners.join(" ")}]`] : []),
    ...(status.transferee === NOBODY ? [] : [`handing over to ${status.transferee}`]),
    ...(status.pendingReads ? [`${status.pendingReads} reads wait`] : []),
  ];
  return [facts.join(", "), ...status.progress.map(describeProgress)].join("\n");
}

function describeProgress(progress: ProgressStatus): string {
  const flags = [
    ...(progress.learner ? ["learner"] : []),
    ...(progress.paused ? ["paused"] : []),
    ...(progress.pendingSnapshot ? [`snapshot ${progress.pendingSnapshot} under way`] : []),
    ...(progress.active ? [] : ["silent"]),
    ...(progress.inflightMessages ? [`${progress.inflightMessages} under way`] : []),
    ...(progress.inflightFull ? ["window full"] : []),
  ];
  const { id, state, match, next } = progress;
  return [`  ${id}: ${state} match ${match} next ${next}`, ...flags].join(", ");
}

function name(id: number): string {
  return id === NOBODY ? "nobody" : String(id);
}
