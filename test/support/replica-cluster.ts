import { join } from "node:path";
import type { Clock } from "../../src/base/clock.ts";
import { DenimError } from "../../src/base/errors.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import type { Message, SnapshotOffer } from "../../src/raft/mod.ts";
import type { Command } from "../../src/lease/command.ts";
import { bootstrap } from "../../src/replica/bootstrap.ts";
import type { Capture, Peers } from "../../src/replica/peers.ts";
import { PROFILES, Replica } from "../../src/replica/replica.ts";
import { LOG_LIMITS, type LogLimits } from "../../src/replica/turn.ts";
import { Copy } from "../../src/store/copy.ts";
import { Store } from "../../src/store/store.ts";
import { fastClock, until } from "./fast-clock.ts";
import { copyFolder, temporaryFolder } from "./folders.ts";
import { EPOCH, initCommand, joiner, OPEN_TOKEN } from "./ledger.ts";
import { RecordingLogger } from "./log.ts";
import type { Test } from "./tap.ts";

/** Ten ticks of 100 ms in a fifth of a second: several times the disk's worst. */
const SPEED = 5;

/** One server: its folder, and whatever runs on it. */
export class Server {
  readonly raftId: number;
  readonly log = new RecordingLogger();
  folder: string;
  store!: Store;
  copy!: Copy;
  replica!: Replica;
  up = false;
  /** Batches since the start: begun, and on disk. */
  writes = 0;
  written = 0;
  /** Batches wait for this: a disk that hangs, until the test says otherwise. */
  hung: Promise<void> | undefined;
  /** The next batch fails with this. */
  writeError: DenimError | undefined;
  /** What the replica reported. */
  failure: DenimError | undefined;

  constructor(raftId: number, folder: string) {
    this.raftId = raftId;
    this.folder = folder;
  }

  get nodeId(): string {
    return `id${this.raftId - 1}`;
  }

  /** Everything that all servers must agree about. */
  get digests(): string {
    const { digest, clockDigest } = this.copy.applied();
    return `${digest} ${clockDigest}`;
  }

  hasNode(n: number): boolean {
    return this.copy.state.get("node", `id${n}`) !== undefined;
  }
}

export interface ClusterOptions {
  readonly servers: number;
  readonly config?: string;
  readonly seed?: number;
  readonly clock?: Clock;
  readonly logLimits?: LogLimits;
}

/** Real replicas over real stores in one process, on a network that a test can break. */
export class ReplicaCluster implements AsyncDisposable {
  readonly clock: Clock;
  readonly servers = new Map<number, Server>();
  /** The share of messages that get lost. */
  loss = 0;
  readonly #random: Random;
  readonly #logLimits: LogLimits;
  readonly #folder: string;
  readonly #cut = new Set<string>();
  readonly #leavers: Promise<unknown>[] = [];
  #folders = 0;

  private constructor(t: Test, options: ClusterOptions) {
    this.clock = options.clock ?? fastClock(SPEED);
    this.#random = seededRandom(options.seed ?? 1);
    this.#logLimits = options.logLimits ?? LOG_LIMITS;
    this.#folder = temporaryFolder(t);
    t.teardown(() => this[Symbol.asyncDispose]());
  }

  /** Server 1 makes the cluster; the others join, catch up and become voters. */
  static async start(t: Test, options: ClusterOptions): Promise<ReplicaCluster> {
    const cluster = new ReplicaCluster(t, options);
    const first = cluster.#server(1);
    const store = await Store.open(first.folder);
    await bootstrap(store, { elapsedMs: 0, wallMs: 0 }, initCommand(options.config));
    await store[Symbol.asyncDispose]();
    await cluster.boot(first);
    const { replica } = first;
    await replica.propose({ ...OPEN_TOKEN, expiresWallMs: 1e15 } as Command);
    for (let raftId = 2; raftId <= options.servers; raftId++) await cluster.addVoter(raftId);
    return cluster;
  }

  get all(): Server[] {
    return [...this.servers.values()];
  }

  get up(): Server[] {
    return this.all.filter(({ up }) => up);
  }

  server(raftId: number): Server {
    return this.servers.get(raftId)!;
  }

  /** Waits for a leader that a majority follows. */
  async leader(among: readonly Server[] = this.up): Promise<Server> {
    const find = () =>
      among.find(({ up, replica }) =>
        up && replica.leads &&
        among.filter((other) => other.up && other.replica.status().leader === replica.raftId)
            .length > this.voters / 2
      );
    await until("there is a leader", () => find() !== undefined);
    return find()!;
  }

  get voters(): number {
    return Math.max(...this.up.map(({ replica }) => replica.status().configuration.voters.length));
  }

  async follower(): Promise<Server> {
    const leader = await this.leader();
    return this.up.find((server) => server !== leader)!;
  }

  /**
   * Joins as a server with a store of its own, and is given the log without a vote. The store may
   * be that of an agent, with a state that a feed has brought.
   */
  async addLearner(raftId: number, options: { agentOf?: Server } = {}): Promise<Server> {
    const server = this.#server(raftId);
    const host = joiner(raftId - 1, { role: "server" });
    const leader = await this.leader();
    await leader.replica.propose({ kind: "node.join", tokenId: "open", node: host });
    const store = await Store.open(server.folder);
    const { clusterId } = initCommand();
    const format = { schema: 1, clusterId, epoch: EPOCH, storeId: host.storeId, raftId } as const;
    const feeder = options.agentOf?.copy;
    if (feeder === undefined) await store.write({ format });
    else {
      const records = [...feeder.state.records("revisioned")];
      const { revision } = feeder.state;
      const clock = { clockMs: 0, clockRecords: 0, clockDigest: "0".repeat(16) };
      const applied = { ...feeder.applied(), ...clock, index: revision, revision, term: 0 };
      await store.install({ format, applied, records });
    }
    await store[Symbol.asyncDispose]();
    await this.boot(server);
    await leader.replica.changeGroup({ kind: "add-learner", id: raftId });
    return server;
  }

  async addVoter(raftId: number): Promise<Server> {
    const server = await this.addLearner(raftId);
    const leader = await this.leader();
    await this.caughtUp(server, leader);
    await leader.replica.changeGroup({ kind: "add-voter", id: raftId });
    await until("it knows", () => server.replica.status().configuration.voters.includes(raftId));
    return server;
  }

  async caughtUp(server: Server, leader: Server): Promise<void> {
    await until(
      `${server.raftId} is where ${leader.raftId} is`,
      () => server.copy.index >= leader.copy.index && server.copy.index > 0,
    );
  }

  /** Waits until all that are up have the same state, and say so. */
  async converged(): Promise<string> {
    await until("all have the same state", () => {
      const [first, ...others] = this.up;
      return others.every(({ copy, digests }) =>
        copy.index === first!.copy.index && digests === first!.digests
      );
    });
    return this.up[0]!.digests;
  }

  /** Starts a server over its folder. */
  async boot(server: Server): Promise<void> {
    server.store = await Store.open(server.folder);
    server.writes = server.written = 0;
    server.failure = undefined;
    const { applied, records } = server.store.loaded;
    server.copy = new Copy(applied, records);
    this.#meddle(server);
    server.replica = new Replica({
      raftId: server.raftId,
      profile: PROFILES.lan,
      ...{ store: server.store, copy: server.copy, clock: this.clock, logger: server.log },
      peers: this.#peersOf(server),
      random: seededRandom(this.#random.below(2 ** 32)),
      logLimits: this.#logLimits,
      onFailed: (error) => (server.failure = error),
    });
    server.up = true;
  }

  /** The power goes: what is on disk now is all that is left. */
  crash(server: Server): void {
    const { replica, store } = server;
    server.up = false;
    server.folder = copyFolder(server.folder, join(this.#folder, `${++this.#folders}`));
    this.#leavers.push(replica[Symbol.asyncDispose]().then(() => store[Symbol.asyncDispose]()));
  }

  async stop(server: Server): Promise<void> {
    await server.replica[Symbol.asyncDispose]();
    server.up = false;
    await server.store[Symbol.asyncDispose]();
  }

  async restart(server: Server): Promise<void> {
    if (server.up) await this.stop(server);
    await this.boot(server);
  }

  /** Cuts every link between these servers and the rest. */
  isolate(...islanders: readonly Server[]): void {
    for (const a of islanders) {
      for (const b of this.all.filter((server) => !islanders.includes(server))) this.cut(a, b);
    }
  }

  cut(a: Server, b: Server): void {
    this.#cut.add(`${a.raftId} ${b.raftId}`).add(`${b.raftId} ${a.raftId}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.up.map((server) => this.stop(server)));
    await Promise.all(this.#leavers);
  }

  #server(raftId: number): Server {
    const server = new Server(raftId, join(this.#folder, `${++this.#folders}`));
    this.servers.set(raftId, server);
    return server;
  }

  /** Counts, delays and fails the store's batches. */
  #meddle(server: Server): void {
    const { store } = server;
    const [write, install] = [store.write.bind(store), store.install.bind(store)];
    const before = async () => {
      server.writes++;
      await server.hung;
      if (server.writeError !== undefined) throw server.writeError;
    };
    const after = () => void server.written++;
    store.write = (parts) => before().then(() => write(parts)).then(after);
    store.install = (parts) => before().then(() => install(parts)).then(after);
  }

  #reaches(from: Server, to: Server | undefined): to is Server {
    return to !== undefined && from.up && to.up && !this.#cut.has(`${from.raftId} ${to.raftId}`);
  }

  #peersOf(self: Server): Peers {
    const other = (raftId: number) => this.servers.get(raftId);
    const deliver = (message: Message) => {
      const to = other(message.to);
      if (!this.#reaches(self, to) || this.#random.fraction() < this.loss) return;
      to.replica.receive([overWire(message)]);
    };
    return {
      send: (messages) => void setImmediate(() => messages.forEach(deliver)),
      sendSnapshot: async (offer: SnapshotOffer, capture: Capture, onProgress: () => void) => {
        await new Promise<void>((resolve) => setImmediate(resolve));
        const to = other(offer.to);
        if (!this.#reaches(self, to)) return false;
        to.replica.receiveSnapshot(overWire(offer), overWire(capture));
        onProgress();
        return true;
      },
      forward: async (leader, command, timeoutMs) => {
        const to = other(leader);
        if (!this.#reaches(self, to)) {
          throw new DenimError("PEER_UNREACHABLE", `No connection to ${leader}`);
        }
        const answer = await to.replica.proposeHere(overWire(command), timeoutMs)
          .then((value) => ({ value }), (error: DenimError) => ({ error }));
        if (!this.#reaches(self, to)) {
          throw new DenimError("CONNECTION_LOST", `The connection to ${leader} was lost`);
        }
        if ("error" in answer) throw DenimError.fromJSON(overWire(answer.error));
        return overWire(answer.value);
      },
    };
  }
}

function overWire<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
