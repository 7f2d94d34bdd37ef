/** What each directive of an interaction script does. */
import type { Change, Message, Raft, StepResult } from "../../src/raft/mod.ts";
import { ELECTION_TICKS, HEARTBEAT_TICKS, type ServerOptions } from "./script-cluster.ts";
import type { Directive } from "./script-parser.ts";
import { ScriptError, type Stage } from "./script-stage.ts";
import {
  CHANGE_LETTERS,
  entryText,
  messageLines,
  messageType,
  progressText,
  readyLines,
  ROLE_TEXT,
} from "./script-text.ts";

const PROPOSAL_DROPPED = "raft proposal dropped";
const PEER_NOT_FOUND = "raft: cannot step as peer not found";

/** Runs one directive; the lines that it prints, `ok` where there is nothing to say. */
export function runDirective(stage: Stage, directive: Directive): string[] {
  const command = COMMANDS[directive.command];
  const errors: string[] = [];
  try {
    if (command === undefined) throw new ScriptError("unknown command");
    command(stage, directive);
  } catch (error) {
    if (!(error instanceof ScriptError)) throw error;
    errors.push(error.message);
  }
  const lines = [...stage.takeOutput(), ...errors];
  return lines.length === 0 ? ["ok"] : lines;
}

type Command = (stage: Stage, directive: Directive) => void;

const COMMANDS: Readonly<Record<string, Command>> = {
  "add-nodes": addNodes,
  "campaign": (stage, directive) => void raftOf(stage, directive).campaign(),
  "compact": compact,
  "deliver-msgs": deliver,
  "log-level": (stage, directive) => stage.setLogLevel(directive.arguments[0]?.key ?? ""),
  "process-append-thread": (stage) => stage.print("no append work to perform"),
  "process-apply-thread": (stage) => stage.print("no apply work to perform"),
  "process-ready": processReadys,
  "propose": propose,
  "propose-conf-change": proposeChange,
  "raft-log": (stage, directive) => printLog(stage, ids(directive)[0]!),
  "raft-state": printStates,
  "report-unreachable": (stage, directive) =>
    raftOf(stage, directive).reportUnreachable(ids(directive)[1]!),
  "send-snapshot": sendSnapshot,
  "set-randomized-election-timeout": (stage, directive) =>
    raftOf(stage, directive).setElectionTimeout(Number(option(directive, "timeout"))),
  "stabilize": stabilize,
  "status": (stage, directive) =>
    stage.print(...raftOf(stage, directive).status().progress.map(progressText)),
  "tick-election": (stage, directive) => tick(raftOf(stage, directive), ELECTION_TICKS),
  "tick-heartbeat": (stage, directive) => tick(raftOf(stage, directive), HEARTBEAT_TICKS),
  "transfer-leadership": transferLeadership,
};

/** The bare words of a directive that are numbers. */
function ids(directive: Directive): number[] {
  return directive.arguments.filter((argument) => argument.values.length === 0)
    .map((argument) => Number(argument.key)).filter(Number.isInteger);
}

export function option(directive: Directive, key: string): string | undefined {
  return options(directive, key)[0];
}

function options(directive: Directive, key: string): readonly string[] {
  return directive.arguments.find((argument) => argument.key === key)?.values ?? [];
}

function raftOf(stage: Stage, directive: Directive): Raft {
  return stage.cluster.server(ids(directive)[0]!).raft;
}

function tick(raft: Raft, count: number): void {
  for (let i = 0; i < count; i++) raft.tick();
}

function addNodes(stage: Stage, directive: Directive): void {
  const configuration = {
    voters: options(directive, "voters").map(Number),
    learners: options(directive, "learners").map(Number),
  };
  const index = Number(option(directive, "index") ?? 0);
  const given = directive.arguments.length > 1;
  if (index <= 1 && given && configuration.voters.length > 0) {
    throw new ScriptError("index must be specified as > 1 due to bootstrap");
  }
  const flag = (key: string) => option(directive, key) === "true";
  const number = (key: string) => Number(option(directive, key) ?? Infinity);
  const settings: ServerOptions = {
    preVote: flag("prevote"),
    checkQuorum: flag("checkquorum"),
    stepDownOnRemoval: flag("step-down-on-removal"),
    maxInflightMessages: number("inflight"),
    // A word of our own.
    maxAppendBytes: number("max-size-per-msg"),
    maxCommittedBytes: number("max-committed-size-per-ready"),
  };
  for (let i = 0; i < ids(directive)[0]!; i++) stage.cluster.add(configuration, index, settings);
}

function compact(stage: Stage, directive: Directive): void {
  const [id, index] = ids(directive);
  if (index! < stage.cluster.server(id!).disk.first) {
    throw new ScriptError("requested index is unavailable due to compaction");
  }
  stage.cluster.compact(id!, index!);
  printLog(stage, id!);
}

function printLog(stage: Stage, id: number): void {
  const { first, entries } = stage.cluster.server(id).disk;
  if (entries.length > 0) stage.print(...entries.map(entryText));
  else stage.print(`log is empty: first index=${first}, last index=${first - 1}`);
}

function printStates(stage: Stage): void {
  for (const { raft } of stage.cluster.servers) {
    const voter = raft.configuration.voters.includes(raft.id) ? "(Voter)" : "(Non-Voter)";
    const state = `${ROLE_TEXT[raft.role]} ${voter}`;
    stage.print(`${raft.id}: ${state} Term:${raft.term} Lead:${raft.leader}`);
  }
}

function propose(stage: Stage, directive: Directive): void {
  const result = raftOf(stage, directive).propose([directive.arguments[1]?.key ?? ""]);
  if (result.kind !== "accepted" && result.kind !== "forwarded") {
    throw new ScriptError(PROPOSAL_DROPPED);
  }
}

/**
 * In the scripts' language a change that comes too early is not refused: an empty entry takes its
 * place in the log.
 */
function proposeChange(stage: Stage, directive: Directive): void {
  const [letter, id] = [directive.input[0]![0]!, Number(directive.input[0]!.slice(1))];
  const kind = CHANGE_LETTERS[letter];
  if (kind === undefined) throw new ScriptError(`unknown input: ${directive.input[0]}`);
  const context = option(directive, "v1") === "true" ? "v1" : "v2";
  const raft = raftOf(stage, directive);
  const change: Change = { kind, id, context };
  const result = raft.proposeChange(change);
  if (result.kind === "change-pending") raft.propose([""]);
  else if (result.kind !== "accepted" && result.kind !== "forwarded") {
    throw new ScriptError(PROPOSAL_DROPPED);
  }
}

function sendSnapshot(stage: Stage, directive: Directive): void {
  const [from, to] = ids(directive) as [number, number];
  const { raft, applied } = stage.cluster.server(from);
  const message: Message = { kind: "snapshot", from, to, term: raft.term, snapshot: applied };
  stage.cluster.messages.push(message);
  stage.print(...messageLines(message));
}

function transferLeadership(stage: Stage, directive: Directive): void {
  const { raft } = stage.cluster.server(Number(option(directive, "from")));
  raft.transferLeadership(Number(option(directive, "to")));
}

function processReadys(stage: Stage, directive: Directive): void {
  const all = ids(directive);
  for (const id of all) {
    if (all.length > 1) processUnderHeading(stage, id);
    else stage.print(...readyLines(stage.cluster.processReady(id)));
  }
}

function processUnderHeading(stage: Stage, id: number): void {
  stage.print(`> ${id} handling Ready`);
  stage.indented(() => stage.print(...readyLines(stage.cluster.processReady(id))));
}

function deliver(stage: Stage, directive: Directive): void {
  const type = option(directive, "type");
  const wanted = (message: Message) => type === undefined || messageType(message) === type;
  let count = 0;
  for (const id of ids(directive)) count += deliverTo(stage, id, wanted);
  for (const id of options(directive, "drop").map(Number)) {
    const dropped = stage.cluster.take(id, wanted);
    for (const message of dropped) {
      const [first, ...rest] = messageLines(message);
      stage.print(`dropped: ${first}`, ...rest);
    }
    count += dropped.length;
  }
  if (count === 0) stage.print("no messages");
}

function deliverTo(stage: Stage, id: number, wanted: (message: Message) => boolean): number {
  const messages = stage.cluster.take(id, wanted);
  for (const message of messages) {
    stage.print(...messageLines(message));
    const { raft } = stage.cluster.server(id);
    const answer = stepAnswer(raft, message, raft.step(message));
    if (answer !== undefined) stage.print(answer);
  }
  return messages.length;
}

function stepAnswer(raft: Raft, message: Message, result: StepResult): string | undefined {
  if (result === "ok") return undefined;
  if (result === "unknown-peer") return PEER_NOT_FOUND;
  if (result === "change-pending" && message.kind === "propose") {
    raft.propose(message.proposals.map(() => ""));
    return undefined;
  }
  return PROPOSAL_DROPPED;
}

/** Readys of all, then messages to all, over and over until nobody has anything left to do. */
function stabilize(stage: Stage, directive: Directive): void {
  const before = stage.logLevel;
  stage.setLogLevel(option(directive, "log-level") ?? before);
  const chosen = ids(directive);
  const all = chosen.length > 0 ? chosen : stage.cluster.servers.map(({ raft }) => raft.id);
  while (stabilizeOnce(stage, all));
  stage.setLogLevel(before);
}

function stabilizeOnce(stage: Stage, all: readonly number[]): boolean {
  const { cluster } = stage;
  let worked = false;
  for (const id of all.filter((id) => cluster.server(id).raft.hasReady())) {
    processUnderHeading(stage, id);
    worked = true;
  }
  for (const id of all) {
    if (!cluster.messages.some((message) => message.to === id)) continue;
    stage.print(`> ${id} receiving messages`);
    stage.indented(() => deliverTo(stage, id, () => true));
    worked = true;
  }
  return worked;
}
