/** The words in which interaction scripts speak of entries, messages, Readys and progress. */
import type {
  Change,
  Configuration,
  Entry,
  HardState,
  Message,
  ProgressStatus,
  Proposal,
  Ready,
  Role,
  SnapshotMeta,
} from "../../src/raft/mod.ts";

export const ROLE_TEXT: Readonly<Record<Role, string>> = {
  "follower": "StateFollower",
  "pre-candidate": "StatePreCandidate",
  "candidate": "StateCandidate",
  "leader": "StateLeader",
};

const KIND_TEXT: Readonly<Record<Message["kind"], string>> = {
  "pre-vote": "MsgPreVote",
  "pre-vote-response": "MsgPreVoteResp",
  "vote": "MsgVote",
  "vote-response": "MsgVoteResp",
  "append": "MsgApp",
  "append-accepted": "MsgAppResp",
  "append-rejected": "MsgAppResp",
  "heartbeat": "MsgHeartbeat",
  "heartbeat-response": "MsgHeartbeatResp",
  "snapshot": "MsgSnap",
  "timeout-now": "MsgTimeoutNow",
  "read-index": "MsgReadIndex",
  "read-index-response": "MsgReadIndexResp",
  "propose": "MsgProp",
  "transfer": "MsgTransferLeader",
};

/** The letter of each kind of change, as scripts propose and print it. */
export const CHANGE_LETTERS: Readonly<Record<string, Change["kind"]>> = {
  v: "add-voter",
  l: "add-learner",
  r: "remove",
  u: "update",
};

export function messageType(message: Message): string {
  return KIND_TEXT[message.kind];
}

/** The lines of one message; the first says who speaks to whom, any others belong to it. */
export function messageLines(message: Message): string[] {
  const head = `${sender(message)}->${message.to.toString(16)} ${messageType(message)}`;
  const place = placeOf(message);
  const parts = [`${head} Term:${message.term} Log:${place.term}/${place.index}`];
  const refusal = refusalOf(message);
  if (refusal !== undefined) parts.push(`Rejected (Hint: ${refusal})`);
  if ("commit" in message && message.commit !== 0) parts.push(`Commit:${message.commit}`);
  const entries = entriesOf(message);
  if (entries.length === 1) parts.push(`Entries:[${entryText(entries[0]!)}]`);
  if (entries.length > 1) parts.push("Entries:[");
  const more = entries.length > 1 ? [...entries.map((entry) => `  ${entryText(entry)}`), "]"] : [];
  if (message.kind === "snapshot") more.push(`  Snapshot: ${snapshotText(message.snapshot)}`);
  return [parts.join(" "), ...more];
}

/** A wish to lead is passed on in the name of who is to lead. */
function sender(message: Message): string {
  return (message.kind === "transfer" ? message.transferee : message.from).toString(16);
}

function placeOf(message: Message): { term: number; index: number } {
  switch (message.kind) {
    case "pre-vote":
    case "vote":
      return { term: message.lastTerm, index: message.lastIndex };
    case "append":
      return { term: message.previousTerm, index: message.previousIndex };
    case "append-accepted":
    case "read-index-response":
      return { term: 0, index: message.index };
    case "append-rejected":
      return { term: message.hintTerm, index: message.index };
    default:
      return { term: 0, index: 0 };
  }
}

/** How far the refuser knows the log to be committed is not in the scripts' language. */
function refusalOf(message: Message): number | undefined {
  if (message.kind === "append-rejected") return message.hintIndex;
  return "granted" in message && !message.granted ? 0 : undefined;
}

function entriesOf(message: Message): readonly Entry[] {
  if (message.kind === "append") return message.entries;
  if (message.kind !== "propose") return [];
  return message.proposals.map((proposal: Proposal) => ({ ...proposal, index: 0, term: 0 }));
}

export function entryText(entry: Entry): string {
  const place = `${entry.term}/${entry.index}`;
  if (entry.type === "normal") return `${place} EntryNormal ${JSON.stringify(entry.data)}`;
  const change = JSON.parse(entry.data) as Change;
  const letter = Object.keys(CHANGE_LETTERS).find((key) => CHANGE_LETTERS[key] === change.kind);
  const type = change.context === "v1" ? "EntryConfChange" : "EntryConfChangeV2";
  return `${place} ${type} ${letter}${change.id}`;
}

function configurationText({ voters, learners }: Configuration): string {
  const list = (ids: readonly number[]) => `[${ids.join(" ")}]`;
  return `Voters:${list(voters)} VotersOutgoing:[] Learners:${list(learners)} ` +
    "LearnersNext:[] AutoLeave:false";
}

function snapshotText({ index, term, configuration }: SnapshotMeta): string {
  return `Index:${index} Term:${term} ConfState:${configurationText(configuration)}`;
}

function hardStateText({ term, vote, commit }: HardState): string {
  return `HardState Term:${term}${vote === 0 ? "" : ` Vote:${vote}`} Commit:${commit}`;
}

export function readyLines(ready: Ready): string[] {
  const lines: string[] = [];
  const { softState, hardState, snapshot } = ready;
  if (softState) lines.push(`Lead:${softState.leader} State:${ROLE_TEXT[softState.role]}`);
  if (hardState) lines.push(hardStateText(hardState));
  if (ready.readStates.length > 0) {
    const states = ready.readStates.map(({ index, context }) => `{${index} ${context}}`);
    lines.push(`ReadStates [${states.join(" ")}]`);
  }
  if (ready.entries.length > 0) lines.push("Entries:", ...ready.entries.map(entryText));
  if (snapshot) lines.push(`Snapshot ${snapshotText(snapshot)}`);
  if (ready.committed.length > 0) {
    lines.push("CommittedEntries:", ...ready.committed.map(entryText));
  }
  if (ready.messages.length > 0) lines.push("Messages:", ...ready.messages.flatMap(messageLines));
  return lines.length === 0 ? ["<empty Ready>"] : [`Ready MustSync=${ready.mustSync}:`, ...lines];
}

export function progressText(progress: ProgressStatus): string {
  const state = { probe: "StateProbe", replicate: "StateReplicate", snapshot: "StateSnapshot" };
  const { inflightMessages: inflight } = progress;
  return [
    `${progress.id}: ${state[progress.state]} match=${progress.match} next=${progress.next}`,
    ...(progress.learner ? ["learner"] : []),
    ...(progress.paused ? ["paused"] : []),
    ...(progress.pendingSnapshot > 0 ? [`pendingSnap=${progress.pendingSnapshot}`] : []),
    ...(progress.active ? [] : ["inactive"]),
    ...(inflight > 0 ? [`inflight=${inflight}${progress.inflightFull ? "[full]" : ""}`] : []),
  ].join(" ");
}
