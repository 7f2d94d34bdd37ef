import { KEYS } from "../../src/store/keys.ts";
import type { AppliedRecord, StoreFormat } from "../../src/store/load.ts";
import { Chain, type HardRecord, type LogRecord, type TrimRecord } from "../../src/store/log.ts";
import type { Operation } from "../../src/store/values.ts";
import { type Configuration, majority, type Message, type Status } from "../../src/raft/mod.ts";
import type { Content } from "./disk.ts";
import type { Host } from "./host.ts";
import type { Process } from "./process.ts";
import { demand } from "./violation.ts";

/** What is known of one disk beyond what stands on it. */
interface Ledger {
  term: number;
  commit: number;
  /** Where entries of type `change` stand in its log. */
  readonly changes: Set<number>;
}

/** One unbroken history of the cluster: everything that Raft promises, it promises within one. */
interface History {
  /** The chain of checksums at each committed index: equal chains are equal logs up to there. */
  readonly committed: Map<number, number>;
  committedTo: number;
  /** By term: for whom each server voted, as its disk says. */
  readonly votes: Map<number, Map<number, number>>;
  firstTerm?: number;
  readonly leaders: Map<number, number>;
  /** By index: both digests of the state, and the lease clock. */
  readonly states: Map<number, string>;
}

/** What a leader was seen with last. */
interface Seen {
  readonly status: Status;
  readonly process: Process;
}

/**
 * What the Raft paper promises, looked at from outside: on the disks and in the messages of whole
 * servers, not in their words about themselves.
 */
export class RaftOracle {
  readonly #ledgers = new Map<Content, Ledger>();
  readonly #histories = new Map<string, History>();
  readonly #seen = new Map<Host, Seen>();
  /** By value: the index at which a write to a register was committed. */
  readonly revisions = new Map<string, number>();
  /** Names of processes, each of which is used once. */
  readonly #starts = new Map<string, Process>();
  /** Entries that were committed, in all histories. */
  entries = 0;
  elections = 0;
  readonly #hosts: () => readonly Host[];

  constructor(hosts: () => readonly Host[]) {
    this.#hosts = hosts;
  }

  /** A batch has reached a disk. */
  wrote(host: Host, operations: readonly Operation[]): void {
    const { content } = host.disk;
    const format = read<StoreFormat>(content, KEYS.format);
    if (format?.raftId === undefined) return;
    const history = this.#historyOf(format);
    const ledger = this.#ledgerOf(content);
    for (const operation of operations) {
      if (!operation.key.startsWith("log/")) continue;
      const index = parseInt(operation.key.slice(4), 16);
      const isChange = operation.type === "put" &&
        parse<LogRecord>(operation.value).type === "change";
      if (isChange) ledger.changes.add(index);
      else ledger.changes.delete(index);
    }
    if (operations.some(({ key }) => key === KEYS.trim)) linked(host.name, content);
    const hard = read<HardRecord>(content, KEYS.hard);
    if (hard !== undefined) this.#hardState(host, { format, history, ledger, hard });
    const applied = read<AppliedRecord>(content, KEYS.applied);
    if (applied !== undefined && applied.term > 0) {
      const { index, digest, clockDigest, clockMs } = applied;
      const state = `${digest} ${clockDigest} ${clockMs}`;
      const known = history.states.get(index) ?? state;
      history.states.set(index, known);
      demand(known === state, "equal index, equal state", () => `${index} on ${host.name}`);
    }
  }

  /** Raft's messages are about to leave. */
  sent(from: Process, messages: readonly Message[]): void {
    const { content } = from.host.disk;
    const format = read<StoreFormat>(content, KEYS.format);
    if (format?.raftId === undefined) return;
    const { hard = undefined } = { hard: read<HardRecord>(content, KEYS.hard) };
    for (const message of messages) this.#judge(from, message, hard);
  }

  /** Something has happened on a host. */
  look(host: Host): void {
    const { node, process } = host;
    const replica = node?.control.replica;
    if (replica === undefined || process === undefined) return;
    const status = replica.status();
    const before = this.#seen.get(host);
    this.#seen.set(host, { status, process });
    if (status.role === "candidate" || status.role === "pre-candidate") {
      if (before?.status.role === "follower") this.#mayCampaign(host, status);
    }
    if (status.role !== "leader") return;
    const history = this.#historyOf(read<StoreFormat>(host.disk.content, KEYS.format)!);
    this.#leader(host, status, history);
    const same = before?.process === process ? before.status : undefined;
    if (status.commit > (same?.commit ?? 0)) {
      const configurations = [status.configuration, ...same ? [same.configuration] : []];
      this.#onQuorum(host, status, configurations);
      if (same?.role === "leader" && same.term === status.term) this.#ofOwnTerm(host, status);
    }
  }

  #hardState(
    host: Host,
    at: { format: StoreFormat; history: History; ledger: Ledger; hard: HardRecord },
  ): void {
    const { format, history, ledger, hard } = at;
    const { term, vote, commit } = hard;
    const name = host.name;
    demand(term >= ledger.term, "terms never fall", () => `${name} ${ledger.term} to ${term}`);
    // One that drops its log keeps its ballot, and begins its log anew.
    demand(
      commit >= ledger.commit || commit === 0,
      "commit never falls",
      () => `${name} ${ledger.commit} to ${commit}`,
    );
    ledger.term = term;
    this.#ballot(name, format.raftId!, history, { term, vote });
    const from = Math.max(commit === 0 ? 0 : ledger.commit, trimOf(host.disk.content));
    ledger.commit = commit;
    for (let index = from + 1; index <= commit; index++) {
      const record = read<LogRecord>(host.disk.content, KEYS.log(index));
      if (record === undefined) continue;
      const value = /"reservation.put","nodeName":"(v\d+)"/.exec(record.data)?.[1];
      if (value !== undefined && !this.revisions.has(value)) this.revisions.set(value, index);
      const known = history.committed.get(index) ?? record.chain;
      history.committed.set(index, known);
      demand(
        known === record.chain,
        "committed entries never change",
        () => `${index} on ${name}: ${JSON.stringify(record)}`,
      );
    }
    if (commit > history.committedTo) {
      // A history begins with a snapshot, at whatever index.
      if (history.committedTo > 0) this.entries += commit - history.committedTo;
      history.committedTo = commit;
    }
  }

  /** A term exists by a vote that somebody cast for itself; nobody votes twice in it. */
  #ballot(name: string, raftId: number, history: History, ballot: { term: number; vote: number }) {
    const { term, vote } = ballot;
    const votes = history.votes.get(term) ?? new Map<number, number>();
    history.votes.set(term, votes);
    history.firstTerm ??= term;
    const before = votes.get(raftId) ?? vote;
    demand(before === vote || before === 0, "one vote a term", () => {
      return `${name} for ${before}, then ${vote}, in term ${term}`;
    });
    votes.set(raftId, vote);
    // A cluster begins, and begins again, in a term that nobody stood for.
    demand(
      [...votes].some(([voter, choice]) => voter === choice) || term === history.firstTerm,
      "a term begins with a candidate",
      () => `${name} is in term ${term}, in which nobody stood`,
    );
  }

  /** Whatever is said of the own disk is there already. */
  #judge(from: Process, message: Message, hard: HardRecord | undefined): void {
    const { name, disk: { content } } = from.host;
    const facts = () => `${name}: ${JSON.stringify(message)}, disk ${JSON.stringify(hard)}`;
    switch (message.kind) {
      case "append-accepted": {
        const end = Math.max(hard?.lastIndex ?? 0, trimOf(content));
        // Or a leader of a later term has put another in its place, in the same write.
        const overtaken = message.term < (hard?.term ?? 0);
        demand(overtaken || message.index <= end, "an acknowledged entry is on disk", facts);
        demand(message.term <= (hard?.term ?? 0), "an acknowledged term is on disk", facts);
        return;
      }
      case "vote-response": {
        if (!message.granted) return;
        const { term = 0, vote = 0 } = hard ?? {};
        const cast = term > message.term || (term === message.term && vote === message.to);
        demand(cast, "a vote is on disk before it is told", facts);
        return;
      }
      case "vote":
        demand(
          hard !== undefined && hard.term >= message.term &&
            (hard.term > message.term || hard.vote === message.from),
          "a candidate's own vote is on disk",
          facts,
        );
        return;
      case "pre-vote":
        demand(message.term <= (hard?.term ?? 0) + 1, "asking for a pre-vote is free", facts);
        return;
    }
  }

  /** Not with a change that is committed and not applied (etcd raft PR 469). */
  #mayCampaign(host: Host, { applied, commit }: Status): void {
    const changes = [...this.#ledgerOf(host.disk.content).changes];
    demand(
      !changes.some((index) => applied < index && index <= commit),
      "nobody campaigns with an unapplied change",
      () => `${host.name} has applied ${applied} of ${commit}, and ${changes} are changes`,
    );
  }

  /** Counting acknowledgements commits what is of the leader's own term only (figure 8). */
  #ofOwnTerm(host: Host, { commit, term }: Status): void {
    const entry = read<LogRecord>(host.disk.content, KEYS.log(commit));
    demand(
      entry === undefined || entry.term === term,
      "a leader commits by an entry of its own term",
      () => `${host.name} in term ${term} committed ${commit} of term ${entry!.term}`,
    );
  }

  /** A process says which one it is. */
  saidHello(process: Process, startId: string): void {
    const known = this.#starts.get(startId) ?? process;
    this.#starts.set(startId, known);
    demand(known === process, "each start has a name of its own", () => process.host.name);
  }

  /** The voters as the disk that is furthest ahead has them. */
  votersOfNewest(): readonly number[] {
    const states = this.#hosts().flatMap(({ disk: { content } }) => {
      const applied = read<AppliedRecord>(content, KEYS.applied);
      const group = read<{ body: Configuration }>(content, KEYS.state("group", "it"));
      return applied === undefined || group === undefined ? [] : [{ applied, group }];
    });
    states.sort((a, b) => b.applied.revision - a.applied.revision);
    return states[0]?.group.body.voters ?? [];
  }

  /** Whether a change of the group may be under way: a server has it, and does not know its end. */
  mayBeChanging(): boolean {
    return this.#hosts().some(({ disk: { content } }) => {
      const { changes, commit } = this.#ledgerOf(content);
      return [...changes].some((index) => index > commit);
    });
  }

  #leader(host: Host, status: Status, history: History): void {
    const { id, term, lastIndex, applied, configuration } = status;
    const known = history.leaders.get(term);
    demand((known ?? id) === id, "one leader a term", () => `${known} and ${id} in ${term}`);
    const changes = [...this.#ledgerOf(host.disk.content).changes];
    const pending = changes.filter((index) => index > applied && index <= lastIndex);
    demand(pending.length <= 1, "one change at a time", () => `${host.name}: ${pending}`);
    if (known !== undefined) return;
    history.leaders.set(term, id);
    this.elections++;
    demand(
      lastIndex >= history.committedTo || [...history.leaders.keys()].some((other) => other > term),
      "a leader has every committed entry",
      () => `${host.name} ends at ${lastIndex}, committed is ${history.committedTo}`,
    );
    const votes = history.votes.get(term);
    const granted = configuration.voters.filter((voter) => votes?.get(voter) === id);
    demand(
      granted.length >= majority(configuration.voters.length),
      "a leader has the votes of a majority",
      () => `${host.name} in term ${term} has those of ${granted} among ${configuration.voters}`,
    );
  }

  /** A majority has on disk what a leader calls committed. */
  #onQuorum(host: Host, status: Status, configurations: readonly Configuration[]): void {
    const { commit } = status;
    /** By raft id: the chain at the index, or that the entry was forgotten, as applied. */
    const holders = new Map<number, number | "applied">();
    const contents = this.#hosts().flatMap(({ disk }) => [...disk.former, disk.content]);
    for (const content of contents) {
      const raftId = read<StoreFormat>(content, KEYS.format)?.raftId;
      const chain = trimOf(content) >= commit
        ? "applied"
        : read<LogRecord>(content, KEYS.log(commit))?.chain;
      if (raftId !== undefined && chain !== undefined) holders.set(raftId, chain);
    }
    const holds = ({ voters }: Configuration) =>
      [...new Set(holders.values())].some((chain) => {
        const same = voters.filter((voter) =>
          holders.get(voter) === chain || holders.get(voter) === "applied"
        );
        return same.length >= majority(voters.length);
      });
    demand(
      configurations.some(holds),
      "what is committed is on the disks of a majority",
      () => `${host.name} committed ${commit}, which ${JSON.stringify([...holders])} have`,
    );
  }

  #historyOf({ epoch }: StoreFormat): History {
    const key = `${epoch.n} ${epoch.random}`;
    const known = this.#histories.get(key);
    if (known !== undefined) return known;
    const history: History = {
      committed: new Map(),
      committedTo: 0,
      votes: new Map(),
      leaders: new Map(),
      states: new Map(),
    };
    this.#histories.set(key, history);
    return history;
  }

  #ledgerOf(content: Content): Ledger {
    const known = this.#ledgers.get(content);
    if (known !== undefined) return known;
    const ledger = { term: 0, commit: 0, changes: new Set<number>() };
    this.#ledgers.set(content, ledger);
    return ledger;
  }
}

/** Everything up to here is on the disk as a state, whatever became of its entries. */
/** What stands behind a snapshot goes on from it, or would come back with the next start. */
function linked(name: string, content: Content): void {
  const trim = read<TrimRecord>(content, KEYS.trim);
  if (trim === undefined) return;
  const index = trim.index + 1;
  const record = read<LogRecord>(content, KEYS.log(index));
  if (record === undefined) return;
  const { chain, ...entry } = record;
  demand(
    new Chain(trim).append({ index, ...entry }) === chain,
    "the log goes on from where it begins",
    () => `${index} on ${name}: ${JSON.stringify(record)}`,
  );
}

function trimOf(content: Content): number {
  return read<TrimRecord>(content, KEYS.trim)?.index ?? 0;
}

const parsed = new WeakMap<Content, Map<string, { stored: string; value: unknown }>>();

/** Mostly the same as when it was last read. */
function read<T>(content: Content, key: string): T | undefined {
  const stored = content.values.get(key);
  if (stored === undefined) return undefined;
  const known = parsed.get(content) ?? new Map<string, { stored: string; value: unknown }>();
  parsed.set(content, known);
  const last = known.get(key);
  if (last?.stored === stored) return last.value as T;
  const value = parse<T>(stored);
  known.set(key, { stored, value });
  return value;
}

/** The value behind its checksum. */
function parse<T>(stored: string): T {
  return JSON.parse(stored.slice(9)) as T;
}
