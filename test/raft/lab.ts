/** Servers for tests: a core with a disk that survives it, and a network of messages in hand. */
import { seededRandom } from "../../src/base/random.ts";
import {
  type Change,
  type Configuration,
  type Entry,
  founding,
  type HardState,
  type Message,
  NOTHING_RESTORED,
  Raft,
  type RaftOptions,
  type ReadState,
  type Ready,
  type Restored,
  type Role,
} from "../../src/raft/mod.ts";

export const LAB_ELECTION_TICKS = 10;

export interface ServerStart extends Partial<Omit<RaftOptions, "id">> {
  readonly voters?: readonly number[];
  readonly learners?: readonly number[];
  /** The terms of the entries from index 1 on. */
  readonly terms?: readonly number[];
  readonly term?: number;
  readonly vote?: number;
  readonly commit?: number;
  readonly applied?: number;
  readonly seed?: number;
}

/** A log as the paper draws it: one term per entry. The data says which entry it is. */
export function entriesOf(terms: readonly number[]): Entry[] {
  return terms.map((term, i) => ({ index: i + 1, term, type: "normal", data: `${term}.${i + 1}` }));
}

/** Where the founder of a cluster starts, and where somebody who joins it does. */
export const FOUNDER: ServerStart = { restored: founding(1) };
export const JOINER: ServerStart = { restored: NOTHING_RESTORED };

export class LabServer {
  readonly id: number;
  /** What a crash leaves. */
  disk: Restored;
  raft: Raft;
  /** Everything that was applied, ever. */
  readonly applied: Entry[] = [];
  readonly reads: ReadState[] = [];
  readonly #options: Omit<RaftOptions, "restored">;

  constructor(id: number, start: ServerStart = {}) {
    const { voters = [1, 2, 3], learners = [], terms = [], seed = id, ...options } = start;
    const entries = entriesOf(terms);
    this.id = id;
    this.#options = {
      id,
      electionTicks: LAB_ELECTION_TICKS,
      heartbeatTicks: 1,
      maxAppendBytes: Infinity,
      maxInflightMessages: 64,
      maxInflightBytes: Infinity,
      maxUncommittedBytes: Infinity,
      preVote: false,
      checkQuorum: false,
      stepDownOnRemoval: true,
      random: seededRandom(seed),
      ...options,
    };
    this.disk = start.restored ?? {
      hardState: {
        term: start.term ?? terms.at(-1) ?? 0,
        vote: start.vote ?? 0,
        commit: start.commit ?? 0,
      },
      snapshot: { index: 0, term: 0 },
      entries,
      applied: start.applied ?? 0,
      configuration: { voters, learners },
    };
    this.raft = new Raft({ ...this.#options, restored: this.disk });
  }

  get log(): readonly Entry[] {
    return this.disk.entries;
  }

  get terms(): number[] {
    return this.disk.entries.map((entry) => entry.term);
  }

  tick(count = 1): void {
    for (let i = 0; i < count; i++) this.raft.tick();
  }

  /** Does what every Ready asks for until there is none; what it wants to send comes back. */
  work(): Message[] {
    const messages: Message[] = [];
    while (this.raft.hasReady()) messages.push(...this.workOnce().messages);
    return messages;
  }

  workOnce(): Ready {
    const ready = this.raft.ready();
    this.write(ready);
    this.finish(ready);
    return ready;
  }

  /** The first step of a Ready: everything in one atomic batch. */
  write(ready: Ready): void {
    const { hardState = this.disk.hardState, snapshot } = ready;
    const from = ready.entries[0]?.index ?? Infinity;
    const old = snapshot ? [] : this.disk.entries.filter((entry) => entry.index < from);
    this.disk = {
      ...this.disk,
      hardState,
      entries: [...old, ...ready.entries],
      ...(snapshot
        ? {
          snapshot: { index: snapshot.index, term: snapshot.term },
          applied: snapshot.index,
          configuration: snapshot.configuration,
        }
        : {}),
    };
  }

  /** Applies and advances. The applied state is durable with it, as in a batch of its own. */
  finish(ready: Ready): void {
    let { configuration } = this.disk;
    for (const entry of ready.committed) {
      if (entry.type === "change") {
        configuration = this.raft.applyChange(JSON.parse(entry.data) as Change);
      }
      this.applied.push(entry);
    }
    const applied = ready.committed.at(-1)?.index ?? this.disk.applied;
    const hardState: HardState = {
      ...this.disk.hardState,
      commit: Math.max(this.disk.hardState.commit, applied),
    };
    this.disk = { ...this.disk, hardState, applied, configuration };
    this.reads.push(...ready.readStates);
    this.raft.advance();
  }

  compact(index: number): void {
    const term = this.raft.termAt(index)!;
    this.raft.compact(index);
    const entries = this.disk.entries.filter((entry) => entry.index > index);
    this.disk = { ...this.disk, snapshot: { index, term }, entries };
  }

  /** Everything in memory is gone. */
  restart(): void {
    this.raft = new Raft({ ...this.#options, restored: this.disk });
  }
}

/** Servers that reach each other, unless a link is cut. Every message is there at once, in order. */
export class Lab {
  readonly servers = new Map<number, LabServer>();
  /** Sees every message; false loses it. */
  filter: (message: Message) => boolean = () => true;
  readonly sent: Message[] = [];

  static of(count: number, start: ServerStart = {}): Lab {
    const voters = Array.from({ length: count }, (_, i) => i + 1);
    const lab = new Lab();
    for (const id of voters) lab.add(new LabServer(id, { voters, ...start }));
    return lab;
  }

  add(server: LabServer): LabServer {
    this.servers.set(server.id, server);
    return server;
  }

  get(id: number): LabServer {
    return this.servers.get(id)!;
  }

  /** Cuts servers off from everyone. */
  isolate(...ids: number[]): void {
    this.filter = ({ from, to }) => !ids.includes(from) && !ids.includes(to);
  }

  heal(): void {
    this.filter = () => true;
  }

  /** Lets everyone work and talk until there is nothing left to say. */
  settle(): void {
    for (let round = 0; round < 1000; round++) {
      const messages = [...this.servers.values()].flatMap((server) => server.work());
      if (messages.length === 0) return;
      for (const message of messages) this.deliver(message);
    }
    throw new Error("the servers do not stop talking");
  }

  deliver(message: Message): void {
    this.sent.push(message);
    if (this.filter(message)) this.servers.get(message.to)?.raft.step(message);
  }

  elect(id: number): LabServer {
    this.get(id).raft.campaign();
    this.settle();
    return this.get(id);
  }

  propose(id: number, ...datas: string[]): void {
    this.get(id).raft.propose(datas);
    this.settle();
  }

  change(id: number, change: Change): void {
    this.get(id).raft.proposeChange(change);
    this.settle();
  }

  configuration(id: number): Configuration {
    return this.get(id).raft.configuration;
  }

  roles(): Role[] {
    return [...this.servers.values()].map(({ raft }) => raft.role);
  }
}

/** A server in a role and term, having done all that it takes to get there. */
export function inRole(role: Role, start: ServerStart = {}): LabServer {
  const server = new LabServer(1, start);
  if (role === "follower") return server;
  server.raft.campaign();
  server.work();
  if (role === "leader") {
    for (const from of start.voters ?? [1, 2, 3]) {
      if (from !== 1) {
        const { term } = server.raft;
        server.raft.step({ kind: "vote-response", from, to: 1, term, granted: true });
      }
    }
    server.work();
  }
  return server;
}
