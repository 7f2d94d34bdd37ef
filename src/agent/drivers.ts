import type { Clock } from "../base/clock.ts";
import { asDenimError, type DenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { Role } from "../lease/records.ts";
import { theGroup } from "../lease/state.ts";
import { Remote } from "../remote/remote.ts";
import { PROFILES, Replica } from "../replica/replica.ts";
import { holdsLog } from "../replica/restore.ts";
import type { Copy } from "../store/copy.ts";
import type { Store } from "../store/store.ts";
import type { Channel } from "../transport/channel.ts";
import type { Mesh } from "./mesh.ts";
import { type Beacons, serversToTry } from "./servers.ts";
import type { Retention } from "./settings.ts";
import { ClusterSwitch } from "./switch.ts";

export interface DriversOptions {
  readonly nodeId: string;
  readonly role: Role;
  readonly store: Store;
  readonly copy: Copy;
  readonly mesh: Mesh;
  readonly beacons: Beacons;
  readonly profile: keyof typeof PROFILES;
  readonly retention?: Retention;
  readonly keepCaKey: (caKey: string | undefined) => Promise<void>;
  /** One attempt to follow the server that listens there. */
  readonly connect: (address: string, signal: AbortSignal) => Promise<Channel>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/**
 * What keeps a node's copy in step: its own part in Raft, or a connection to a server. The leader's
 * planner decides which; here the one is changed for the other while the rest of the node only sees
 * the switch between them.
 */
export class Drivers implements AsyncDisposable {
  readonly cluster = new ClusterSwitch();
  readonly #options: DriversOptions;
  #replica: Replica | undefined;
  #remote: Remote | undefined;
  /** The own copy has shown this node in the group since its replica was started. */
  #seenInGroup = false;
  #changing: Promise<void> = Promise.resolve();
  #storeFailure: DenimError | undefined;
  #stopping = false;

  constructor(options: DriversOptions) {
    this.#options = options;
  }

  get replica(): Replica | undefined {
    return this.#replica;
  }

  get remote(): Remote | undefined {
    return this.#remote;
  }

  /** The store could not be written: this node goes on in memory. */
  get storeFailure(): DenimError | undefined {
    return this.#storeFailure;
  }

  /** Starts the driver that fits the store. */
  start(): void {
    const { store: { loaded }, copy } = this.#options;
    if (holdsLog(loaded, copy)) this.#startReplica(loaded.format!.raftId!);
    else this.#startRemote();
  }

  /**
   * The planner made this node a standby: its first messages have come. A store that has failed
   * holds no log: what it would go on with is not what it has promised since.
   */
  async becomeServer(raftId: number): Promise<Replica | undefined> {
    const { role, nodeId, copy, logger } = this.#options;
    const own = copy.state.get("node", nodeId)?.body.raftId;
    if (role !== "server" || own !== raftId) return undefined;
    await this.#change(async () => {
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

  /** To be called when the state may have another group. */
  followGroup(): void {
    const replica = this.#replica;
    if (replica === undefined) return;
    const { voters, learners } = theGroup(this.#options.copy.state);
    const isMember = [...voters, ...learners].includes(replica.raftId);
    // A standby hears from the leader before its own copy says that it is one.
    const wasMember = this.#seenInGroup;
    this.#seenInGroup ||= isMember;
    if (!isMember && wasMember) this.leaveGroup(replica);
  }

  /** The group goes on without this node: from now on it is an agent, and cannot sign. */
  leaveGroup(replica: Replica): void {
    const { store, copy, keepCaKey, logger } = this.#options;
    void this.#change(async () => {
      if (this.#replica !== replica) return;
      logger.info("this node no longer holds the log", { raftId: replica.raftId });
      try {
        await this.#stopReplica(replica);
        await store.dropLog(copy.takeUnwritten());
        await keepCaKey(undefined);
      } catch (error) {
        this.#storeFailure ??= asDenimError(error);
      }
      this.#startRemote();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    await this.#changing;
    await this.cluster[Symbol.asyncDispose]();
  }

  #startReplica(raftId: number): void {
    const { store, copy, mesh, clock, random, logger, profile, retention } = this.#options;
    this.#replica = new Replica({
      ...{ raftId, store, copy, peers: mesh, clock, random },
      profile: PROFILES[profile],
      ...(retention === undefined ? {} : { logLimits: retention.log }),
      logger: logger.child("raft"),
      onFailed: (error) => this.#onStoreFailed(error),
    });
    this.#seenInGroup = false;
    this.cluster.use(this.#replica);
  }

  #startRemote(): void {
    const { store, copy, clock, random, logger, beacons, connect } = this.#options;
    this.#remote = new Remote({
      ...{ store, copy, clock, random, connect },
      logger: logger.child("remote"),
      servers: () => serversToTry(copy.state, beacons, random),
      onFailed: (error) => (this.#storeFailure = error),
    });
    this.cluster.use(this.#remote);
  }

  /** A failed write silences this server; the node goes on as an agent, from memory. */
  #onStoreFailed(error: DenimError): void {
    this.#storeFailure = error;
    void this.#change(async () => {
      const replica = this.#replica;
      if (replica === undefined) return;
      await this.#stopReplica(replica);
      this.#startRemote();
    });
  }

  async #stopReplica(replica: Replica): Promise<void> {
    this.cluster.pause();
    this.#replica = undefined;
    this.#options.mesh.dismissWatchers();
    await replica[Symbol.asyncDispose]();
  }

  /** One change at a time, also when its reason comes while another is under way. */
  #change(change: () => Promise<void>): Promise<void> {
    this.#changing = this.#changing
      .then(() => this.#stopping ? undefined : change())
      .catch((error) => {
        this.#options.logger.error("cannot change the driver", { why: (error as Error).message });
      });
    return this.#changing;
  }
}
