/** The little world of an interaction script: servers, their disks, and messages under way. */
import { seededRandom } from "../../src/base/random.ts";
import {
  type Change,
  type Configuration,
  type Entry,
  type Message,
  Raft,
  type RaftOptions,
  type Ready,
  type SnapshotMeta,
} from "../../src/raft/mod.ts";

/** What `tick-election` and `tick-heartbeat` are worth. */
export const ELECTION_TICKS = 3;
export const HEARTBEAT_TICKS = 1;

export interface Server {
  readonly raft: Raft;
  /** The log as written: `raft-log` shows this, not what the core has in memory. */
  disk: { first: number; entries: Entry[] };
  /** The state after each applied entry; a snapshot is the newest. */
  applied: SnapshotMeta;
}

export type ServerOptions = Partial<
  Pick<
    RaftOptions,
    | "preVote"
    | "checkQuorum"
    | "stepDownOnRemoval"
    | "maxAppendBytes"
    | "maxInflightMessages"
    | "maxCommittedBytes"
  >
>;

export class ScriptCluster {
  readonly servers: Server[] = [];
  /** In the order in which they were sent. */
  messages: Message[] = [];

  /** Adds a server with the next id, starting from a state at `index` and term 1, or from nothing. */
  add(configuration: Configuration, index: number, options: ServerOptions): void {
    const id = this.servers.length + 1;
    const term = index === 0 ? 0 : 1;
    const raft = new Raft({
      id,
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: HEARTBEAT_TICKS,
      maxAppendBytes: Infinity,
      maxInflightMessages: Infinity,
      maxInflightBytes: Infinity,
      maxUncommittedBytes: Infinity,
      preVote: false,
      checkQuorum: false,
      stepDownOnRemoval: false,
      forwardProposals: true,
      ...options,
      random: seededRandom(id),
      restored: {
        hardState: { term: 0, vote: 0, commit: index },
        snapshot: { index, term },
        entries: [],
        applied: index,
        configuration,
      },
    });
    const disk = { first: index + 1, entries: [] };
    this.servers.push({ raft, disk, applied: { index, term, configuration } });
  }

  server(id: number): Server {
    const server = this.servers[id - 1];
    if (server === undefined) throw new Error(`there is no server ${id}`);
    return server;
  }

  /** Does what one Ready asks for, in the order that {@link Ready} prescribes. */
  processReady(id: number): Ready {
    const server = this.server(id);
    const ready = server.raft.ready();
    persist(server, ready);
    for (const entry of ready.committed) apply(server, entry);
    this.messages.push(...ready.messages);
    server.raft.advance();
    return ready;
  }

  /** Takes messages to one server out of the network. */
  take(to: number, wanted: (message: Message) => boolean): Message[] {
    const taken = this.messages.filter((message) => message.to === to && wanted(message));
    this.messages = this.messages.filter((message) => !taken.includes(message));
    return taken;
  }

  compact(id: number, index: number): void {
    const { raft, disk } = this.server(id);
    raft.compact(index);
    disk.entries = disk.entries.filter((entry) => entry.index > index);
    disk.first = index + 1;
  }
}

function persist({ disk }: Server, ready: Ready): void {
  if (ready.snapshot) {
    disk.first = ready.snapshot.index + 1;
    disk.entries = [];
  }
  const from = ready.entries[0]?.index ?? Infinity;
  disk.entries = [...disk.entries.filter((entry) => entry.index < from), ...ready.entries];
}

function apply(server: Server, entry: Entry): void {
  const configuration = entry.type === "change"
    ? server.raft.applyChange(JSON.parse(entry.data) as Change)
    : server.applied.configuration;
  server.applied = { index: entry.index, term: entry.term, configuration };
}
