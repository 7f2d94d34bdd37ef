import { type Configuration, EMPTY_CONFIGURATION } from "./configuration.ts";
import { NOBODY } from "./entry.ts";
import { RaftLog } from "./log.ts";
import { type Message, type Outgoing, waitsForWrite } from "./message.ts";
import type { RaftOptions } from "./options.ts";
import { Progress } from "./progress.ts";
import { ReadQueue } from "./read-queue.ts";

export type Role = "follower" | "pre-candidate" | "candidate" | "leader";

/** A read that was confirmed: state at `index` or later answers it. */
export interface ReadState {
  readonly context: string;
  readonly index: number;
}

/**
 * The whole state of the machine, as plain mutable data: the handlers are functions over it, each
 * in the file of its idea. Only {@link Raft} hands it to them.
 */
export interface Core {
  readonly options: RaftOptions;
  readonly id: number;
  readonly log: RaftLog;
  role: Role;
  term: number;
  vote: number;
  leader: number;
  configuration: Configuration;
  /** One per member, leader or not: a follower's are ready for the day it leads. */
  progress: Map<number, Progress>;
  votes: Map<number, boolean>;
  /** Ticks since a leader was heard, or (as leader) since check-quorum last looked. */
  electionElapsed: number;
  heartbeatElapsed: number;
  electionTimeoutTicks: number;
  /** To whom leadership is being handed. */
  transferee: number;
  /** The newest change in the log, or a place above it: no other while this is not applied. */
  pendingChangeIndex: number;
  /** Payload of entries that this leader appended and has not applied yet. */
  uncommittedBytes: number;
  reads: ReadQueue;
  readStates: ReadState[];
  outbox: Message[];
  /** Leaves with the next Ready too, but speaks of what that Ready writes. */
  outboxAfterWrite: Message[];
}

export function createCore(options: RaftOptions): Core {
  const { hardState, snapshot, entries, applied, configuration } = options.restored;
  const core: Core = {
    options,
    id: options.id,
    log: new RaftLog(snapshot, entries, hardState.commit, applied),
    role: "follower",
    term: hardState.term,
    vote: hardState.vote,
    leader: NOBODY,
    configuration: EMPTY_CONFIGURATION,
    progress: new Map(),
    votes: new Map(),
    electionElapsed: 0,
    heartbeatElapsed: 0,
    electionTimeoutTicks: 0,
    transferee: NOBODY,
    pendingChangeIndex: 0,
    uncommittedBytes: 0,
    reads: new ReadQueue(),
    readStates: [],
    outbox: [],
    outboxAfterWrite: [],
  };
  useConfiguration(core, configuration);
  reset(core, core.term);
  return core;
}

/** Puts a message into the outbox, in this server's name and at its term unless another is given. */
export function send(core: Core, outgoing: Outgoing, term: number = core.term): void {
  const message = { ...outgoing, from: core.id, term } as Message;
  (waitsForWrite(message.kind) ? core.outboxAfterWrite : core.outbox).push(message);
}

/** What every change of role or term starts from. A new term means a free vote. */
export function reset(core: Core, term: number): void {
  if (core.term !== term) {
    core.term = term;
    core.vote = NOBODY;
  }
  core.leader = NOBODY;
  core.electionElapsed = 0;
  core.heartbeatElapsed = 0;
  drawElectionTimeout(core);
  core.transferee = NOBODY;
  core.votes.clear();
  for (const [id, { learner }] of core.progress) {
    core.progress.set(id, newProgress(core, id, core.log.last.index + 1, learner));
  }
  core.pendingChangeIndex = 0;
  core.uncommittedBytes = 0;
  core.reads = new ReadQueue();
}

function drawElectionTimeout(core: Core): void {
  const { electionTicks, random } = core.options;
  core.electionTimeoutTicks = electionTicks + random.below(electionTicks);
}

function newProgress(core: Core, id: number, next: number, learner: boolean): Progress {
  return new Progress({
    next,
    match: id === core.id ? core.log.last.index : 0,
    learner,
    limits: {
      messages: core.options.maxInflightMessages,
      bytes: core.options.maxInflightBytes,
    },
  });
}

/**
 * Makes a configuration the one in force. Who stays keeps its progress; who is new is given the
 * benefit of the doubt by check-quorum, having had no chance to answer yet.
 */
export function useConfiguration(core: Core, configuration: Configuration): void {
  const progress = new Map<number, Progress>();
  const add = (id: number, learner: boolean) => {
    const known = core.progress.get(id);
    const one = known ?? newProgress(core, id, Math.max(core.log.last.index, 1), learner);
    if (known === undefined) one.active = true;
    one.learner = learner;
    progress.set(id, one);
  };
  configuration.voters.forEach((id) => add(id, false));
  configuration.learners.forEach((id) => add(id, true));
  core.configuration = configuration;
  core.progress = new Map([...progress].sort(([a], [b]) => a - b));
}

export function becomeFollower(core: Core, term: number, leader: number): void {
  reset(core, term);
  core.role = "follower";
  core.leader = leader;
}

/** Everyone who gets this server's log, in the order of their ids. */
export function peers(core: Core): number[] {
  return [...core.progress.keys()].filter((id) => id !== core.id);
}
