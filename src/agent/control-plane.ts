import type { Clock } from "../base/clock.ts";
import { asDenimError, DenimError, isDenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import { theGroup } from "../lease/state.ts";
import { Remote } from "../remote/remote.ts";
import { PROFILES, Replica } from "../replica/replica.ts";
import { holdsLog } from "../replica/restore.ts";
import { Copy } from "../store/copy.ts";
import type { Channel } from "../transport/channel.ts";
import type { Credentials } from "../transport/credentials.ts";
import type { Hello } from "../transport/handshake.ts";
import type { Listening, Transport } from "../transport/transport.ts";
import { keyFits } from "../transport/certificate.ts";
import { admitJoiner } from "./admitting.ts";
import { Errands } from "./errands.ts";
import { EpochWatch } from "./epoch-watch.ts";
import { helloOf, isWelcome, judgePeer, judgeServer, judgeStore, type Self } from "./gate.ts";
import { GroupCheck } from "./group-check.ts";
import { Mesh } from "./mesh.ts";
import { Planning } from "./planning.ts";
import { readmitPeer, type ReadmittingParts } from "./readmitting.ts";
import type { Settings } from "./settings.ts";
import { type Beacons, cannotAdmit, serversOf, serversToTry } from "./servers.ts";
import { servePeer, type ServingParts } from "./serving.ts";
import { ClusterSwitch } from "./switch.ts";

export interface ControlPlaneOptions extends Self {
  readonly credentials: Credentials;
  readonly transport: Transport;
  readonly caKey: () => Promise<string | undefined>;
  /** With `undefined` it is removed: this node may no longer sign. */
  readonly keepCaKey: (caKey: string | undefined) => Promise<void>;
  readonly listen: { readonly host: string; readonly port: number };
  /** Where servers may be; see {@link serversToTry}. */
  readonly beacons: Beacons;
  readonly profile: keyof typeof PROFILES;
  readonly retention?: Settings["retention"];
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The routes of this node, as its reconciler last saw them. */
  readonly ownRoutes: () => unknown;
  /** Somebody else should lead. */
  readonly isDiskLow: () => boolean;
}

/** Whoever left is told so before its connections end. */
const FAREWELL_MS = 1_000;

/**
 * A node's side of the cluster: its copy of the state, its connections, and the driver that keeps
 * the one in step through the other. Whether it holds the log is the leader's planner's decision.
 */
export class ControlPlane implements AsyncDisposable {
  readonly cluster = new ClusterSwitch();
  readonly mesh: Mesh;
  readonly errands: Errands;
  readonly epochs: EpochWatch;
  readonly #options: ControlPlaneOptions;
  readonly #copy: Copy;
  readonly #planning: Planning;
  readonly #groupCheck: GroupCheck;
  readonly #serving: ServingParts & ReadmittingParts;
  #listener: Listening | undefined;
  #replica: Replica | undefined;
  #remote: Remote | undefined;
  /** The own copy has shown this node in the group since its replica was started. */
  #seenInGroup = false;
  #changingDriver: Promise<void> = Promise.resolve();
  #storeFailure: DenimError | undefined;
  #stopping = false;

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
    const { clock, random, logger, store } = options;
    this.#copy = new Copy(
      store.loaded.applied,
      store.loaded.records,
      options.retention?.historyEntries,
    );
    const state = () => this.#copy.state;
    this.mesh = new Mesh({
      ...{ state, clock, random, logger: logger.child("mesh") },
      dial: (nodeId, address, signal) => this.#dial(address, signal, { expect: nodeId }),
      onUnreachable: (raftId) => this.#replica?.reportUnreachable(raftId),
    });
    this.#planning = new Planning({
      ...{ self: options.nodeId, state, mesh: this.mesh, clock, isDiskLow: options.isDiskLow },
      logger: logger.child("planner"),
      replica: () => this.#replica,
      caKey: options.caKey,
    });
    const otherServers = this.#otherServers;
    this.errands = new Errands({
      ...{ self: options.nodeId, mesh: this.mesh, planning: this.#planning, clock },
      replica: () => this.#replica,
      upstream: () => this.#remote?.channel,
      isOut: () => isDenimError(this.#remote?.lastError, "NOT_A_MEMBER"),
      ...{ otherServers, ownRoutes: options.ownRoutes },
    });
    this.#groupCheck = new GroupCheck({
      ...{ clock, mesh: this.mesh, otherServers },
      replica: () => this.#replica,
      onOut: (replica) => this.#leaveGroup(replica),
    });
    this.epochs = new EpochWatch({
      ...{ state, clock, cluster: this.cluster, logger: logger.child("epoch") },
    });
    this.#serving = this.#servingParts();
    this.cluster.onChange(() => this.#followGroup());
  }

  /** Starts the driver that fits the store. */
  start(): void {
    if (holdsLog(this.#options.store.loaded, this.#copy)) {
      this.#startReplica(this.#options.store.loaded.format!.raftId!);
    } else this.#startRemote();
  }

  /** Opens the port. @throws `PORT_IN_USE` */
  async open(): Promise<void> {
    const { clock, transport, logger, role } = this.#options;
    this.#listener = await transport.listen({
      ...this.#options.listen,
      clock,
      log: logger.child("listener"),
      hello: () => this.#hello("peer"),
      admit: this.epochs.noting((hello, who) => judgePeer(this.#copy.state, hello, who)),
      onPeer: (channel, { hello }) => {
        if (hello.wants === "rejoin") channel.start(readmitPeer(this.#serving, hello));
        else if (this.mesh.accept(channel, hello)) channel.start(servePeer(this.#serving, hello));
      },
      ...(role === "server"
        ? { onJoiner: (joiner) => admitJoiner(this.#admitting(), joiner) }
        : { sendAway: () => cannotAdmit(this.#copy.state) }),
    });
  }

  get port(): number {
    return this.#listener!.port;
  }

  get replica(): Replica | undefined {
    return this.#replica;
  }

  /** The server that an agent follows now, or why it follows none. */
  get upstream(): { readonly connected: boolean; readonly error: DenimError | undefined } {
    const remote = this.#remote;
    return { connected: remote?.channel !== undefined, error: remote?.lastError };
  }

  /** The store could not be written: this node goes on in memory. */
  get storeFailure(): DenimError | undefined {
    return this.#storeFailure;
  }

  get digest(): string {
    return this.#copy.digest;
  }

  get alarm(): boolean {
    return this.#planning.alarm;
  }

  get followers(): number {
    return this.#copy.feed.followers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    this.#groupCheck[Symbol.dispose]();
    await this.#planning[Symbol.asyncDispose]();
    await this.#changingDriver;
    await this.cluster[Symbol.asyncDispose]();
    await this.mesh[Symbol.asyncDispose]();
    await this.#listener?.[Symbol.asyncDispose]();
  }

  #startReplica(raftId: number): Replica {
    const { store, clock, random, logger, profile, retention } = this.#options;
    const replica = new Replica({
      ...{ raftId, store, copy: this.#copy, peers: this.mesh, clock, random },
      profile: PROFILES[profile],
      ...(retention === undefined ? {} : { logLimits: retention.log }),
      logger: logger.child("raft"),
      onFailed: (error) => this.#onStoreFailed(error),
    });
    this.#replica = replica;
    this.#seenInGroup = false;
    this.cluster.use(replica);
    return replica;
  }

  #startRemote(): void {
    const { store, clock, random, logger, beacons } = this.#options;
    this.#remote = new Remote({
      ...{ store, copy: this.#copy, clock, random },
      logger: logger.child("remote"),
      servers: () => serversToTry(this.#copy.state, beacons, random),
      connect: (address, signal) => this.#dial(address, signal, { wants: "watch" }),
      onFailed: (error) => (this.#storeFailure = error),
    });
    this.cluster.use(this.#remote);
  }

  /**
   * The planner made this node a standby: its first messages have come. A store that has failed
   * holds no log: what it would go on with is not what it has promised since.
   */
  async #becomeServer(raftId: number): Promise<Replica | undefined> {
    const { role, nodeId, logger } = this.#options;
    const own = this.#copy.state.get("node", nodeId)?.body.raftId;
    if (role !== "server" || own !== raftId) return undefined;
    await this.#changeDriver(async () => {
      if (this.#replica !== undefined || this.#storeFailure !== undefined) return;
      logger.info("this node now holds the log", { raftId });
      this.cluster.pause();
      await this.#remote?.[Symbol.asyncDispose]();
      this.#remote = undefined;
      if (this.#storeFailure === undefined) this.#startReplica(raftId);
      else this.#startRemote();
    });
    return this.#replica;
  }

  /** Connections and driver follow the group as the state has it. */
  #followGroup(): void {
    const replica = this.#replica;
    this.mesh.keep(new Set(replica === undefined ? [] : this.#otherServers()));
    if (this.mesh.hasStrangers(this.#isMember)) {
      this.#options.clock.after(FAREWELL_MS, () => this.mesh.dismissStrangers(this.#isMember));
    }
    if (replica === undefined) return;
    const { voters, learners } = theGroup(this.#copy.state);
    const isMember = [...voters, ...learners].includes(replica.raftId);
    // A standby hears from the leader before its own copy says that it is one.
    const wasMember = this.#seenInGroup;
    this.#seenInGroup ||= isMember;
    if (!isMember && wasMember) this.#leaveGroup(replica);
  }

  readonly #isMember = (node: string): boolean => isWelcome(this.#copy.state, node);

  /** The group goes on without this node: from now on it is an agent, and cannot sign. */
  #leaveGroup(replica: Replica): void {
    const { store, keepCaKey, logger } = this.#options;
    void this.#changeDriver(async () => {
      if (this.#replica !== replica) return;
      logger.info("this node no longer holds the log", { raftId: replica.raftId });
      try {
        await this.#stopReplica(replica);
        await store.dropLog(this.#copy.takeUnwritten());
        await keepCaKey(undefined);
      } catch (error) {
        this.#storeFailure ??= asDenimError(error);
      }
      this.#startRemote();
    });
  }

  /** A failed write silences this server; the node goes on as an agent, from memory. */
  #onStoreFailed(error: DenimError): void {
    this.#storeFailure = error;
    void this.#changeDriver(async () => {
      const replica = this.#replica;
      if (replica === undefined) return;
      await this.#stopReplica(replica);
      this.#startRemote();
    });
  }

  async #stopReplica(replica: Replica): Promise<void> {
    this.cluster.pause();
    this.#replica = undefined;
    this.mesh.dismissWatchers();
    await replica[Symbol.asyncDispose]();
  }

  /** One change at a time, also when its reason comes while another is under way. */
  #changeDriver(change: () => Promise<void>): Promise<void> {
    this.#changingDriver = this.#changingDriver
      .then(() => this.#stopping ? undefined : change())
      .catch((error) => {
        this.#options.logger.error("cannot change the driver", { why: (error as Error).message });
      });
    return this.#changingDriver;
  }

  readonly #otherServers = (): string[] =>
    serversOf(this.#copy.state).map((server) => server.nodeId)
      .filter((node) => node !== this.#options.nodeId);

  async #dial(
    address: string,
    signal: AbortSignal,
    options: { readonly expect?: string; readonly wants?: "peer" | "watch" },
  ): Promise<Channel> {
    const { clock, transport } = this.#options;
    const hello = this.#hello(options.wants ?? "peer");
    const { channel, greeting } = await transport.dial(address, {
      ...{ clock, signal, hello },
      // Who answers at a server's address has a server's certificate of our CA.
      admit: this.epochs.noting((server) => {
        const verdict = judgeServer(hello, server, this.#remote?.leaderlessMs);
        return "ok" in verdict ? judgeStore(this.#copy.state, server) : verdict;
      }),
      ...(options.expect === undefined ? {} : { expectNodeId: options.expect }),
    });
    return channel.start(servePeer(this.#serving, greeting.hello));
  }

  #hello(wants: "peer" | "watch"): Hello {
    return helloOf(this.#options, this.#copy, wants);
  }

  #admitting() {
    const { clock, random, logger, credentials, caKey } = this.#options;
    return {
      ...{ cluster: this.cluster, clock, random, logger },
      ca: async () => {
        const keyPem = await caKey();
        return keyPem === undefined ? undefined : { certPem: credentials.caBundle, keyPem };
      },
      standDown: (node: string) => this.errands.letGo(node, "stand-down"),
    };
  }

  #servingParts(): ServingParts & ReadmittingParts {
    return {
      cluster: this.cluster,
      replica: () => this.#replica,
      becomeServer: (raftId) => this.#becomeServer(raftId),
      keepCaKey: async (caKey) => {
        const { keepCaKey, credentials } = this.#options;
        if (!keyFits(caKey, credentials.caBundle)) {
          throw new DenimError("REQUEST_INVALID", "This is not the key of the cluster's CA");
        }
        await keepCaKey(caKey);
      },
      noteConnected: (from, notice) => this.#planning.note(from, notice),
      noteTwin: () => this.mesh.noteTwin(),
      ownRoutes: this.#options.ownRoutes,
      routesOf: (node, where) => this.errands.routesOf(node, where),
      letGo: (node, how) => this.errands.letGoOnce(node, how),
      lives: (node) => this.errands.lives(node),
    };
  }
}
