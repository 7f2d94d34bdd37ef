import type { Clock } from "../../base/clock.ts";
import { asDenimError, type DenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import { equalEpoch, type Role } from "../../lease/records.ts";
import { theGroup } from "../../lease/state.ts";
import { isMember, type Message, refusalOfFormer } from "../../raft/mod.ts";
import { Remote } from "../../remote/remote.ts";
import { PROFILES, Replica } from "../../replica/replica.ts";
import { holdsLog } from "../../replica/restore.ts";
import type { Copy } from "../../store/copy.ts";
import type { Store } from "../../store/store.ts";
import type { Channel } from "../../transport/channel.ts";
import type { Mesh } from "./mesh.ts";
import { type Beacons, serversToTry } from "./servers.ts";
import type { Retention } from "../settings.ts";
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
  readonly dropCaKeys: () => Promise<void>;
  /** One attempt to follow the server that listens there. */
  readonly connect: (address: string, signal: AbortSignal) => Promise<Channel>;
  /** What there is to say where nobody leads. */
  readonly explain: (error: DenimError) => DenimError;
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
  readonly cluster: ClusterSwitch;
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
    this.cluster = new ClusterSwitch(options.explain);
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
  async start(): Promise<void> {
    const { store: { loaded }, copy } = this.#options;
    if (holdsLog(loaded, copy)) return this.#startReplica(loaded.format!.raftId!);
    // It went down between leaving the group and giving up its log: an agent's state on top of
    // that would make no sense to the next start.
    if (loaded.trim.index > 0 || loaded.entries.length > 0) await this.#giveUpLog();
    this.#startRemote();
  }

  /**
   * The planner made this node a standby: its first messages have come. A store that has failed
   * holds no log: what it would go on with is not what it has promised since.
   */
  async becomeServer(raftId: number): Promise<Replica | undefined> {
    const { role, nodeId, copy, logger } = this.#options;
    const own = copy.state.get("node", nodeId)?.body.raftId;
    if (role !== "server" || own !== raftId || this.#isSpent(raftId)) return undefined;
    await this.#change(async () => {
      if (this.#replica !== undefined || this.#storeFailure !== undefined) return;
      logger.info("this node now holds the log", { raftId });
      this.cluster.pause();
      await this.#remote?.[Symbol.asyncDispose]();
      this.#remote = undefined;
      await this.#takeRaftId(raftId);
      if (this.#storeFailure === undefined) this.#startReplica(raftId);
      else this.#startRemote();
    });
    return this.#replica;
  }

  /** What was promised in another history binds nobody in this one, which counts anew. */
  #isSpent(raftId: number): boolean {
    const { copy, store } = this.#options;
    const { epoch, spentRaftId = 0 } = store.format!;
    return equalEpoch(epoch, copy.epoch) && raftId <= spentRaftId;
  }

  /** Under the new one nothing was ever promised; the former one is spent. */
  async #takeRaftId(raftId: number): Promise<void> {
    const { copy: { epoch }, store } = this.#options;
    const { spentRaftId: _, spentAt: __, ...unspent } = store.format!;
    const isSame = equalEpoch(unspent.epoch, epoch);
    if (this.#storeFailure !== undefined || (isSame && unspent.raftId === raftId)) return;
    await store.write({ format: { ...(isSame ? store.format! : unspent), epoch, raftId } })
      .catch((error) => (this.#storeFailure = asDenimError(error)));
  }

  /** To be called when the state may have another group. */
  followGroup(): void {
    const replica = this.#replica;
    if (replica === undefined) return;
    const isIn = isMember(theGroup(this.#options.copy.state), replica.raftId);
    // A standby hears from the leader before its own copy says that it is one.
    const wasIn = this.#seenInGroup;
    this.#seenInGroup ||= isIn;
    if (!isIn && wasIn) this.leaveGroup(replica);
  }

  /** Members that count this node still, under the raft id that it gave up, get to know better. */
  answerAsFormer(messages: readonly Message[]): void {
    const { store, copy, mesh } = this.#options;
    const { epoch, spentRaftId, spentAt } = store.format!;
    if (spentAt === undefined || !equalEpoch(epoch, copy.epoch)) return;
    const group = theGroup(copy.state);
    const asked = messages.filter(({ from, to }) => to === spentRaftId && isMember(group, from));
    mesh.send(asked.flatMap((message) => refusalOfFormer(message, spentAt) ?? []));
  }

  /** The group goes on without this node: from now on it is an agent, and cannot sign. */
  leaveGroup(replica: Replica): void {
    const { logger } = this.#options;
    void this.#change(async () => {
      if (this.#replica !== replica) return;
      logger.info("this node no longer holds the log", { raftId: replica.raftId });
      await this.#giveUpLog(() => this.#stopReplica(replica));
      this.#startRemote();
    });
  }

  /**
   * The CA key goes first. A leader that wants this node back sends the key again, and is only
   * listened to once the replica has stopped; after a crash, or where the disk refuses to let the
   * key go, the log that is left says that it has to. The replica stops whatever the disk says.
   */
  async #giveUpLog(stop: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    const { store, copy, dropCaKeys } = this.#options;
    const isKeyGone = await this.#written(dropCaKeys());
    const isStill = await this.#written(stop());
    if (isKeyGone && isStill) await this.#written(store.dropLog(copy.takeUnwritten()));
  }

  async #written(write: Promise<void>): Promise<boolean> {
    try {
      await write;
      return true;
    } catch (error) {
      this.#storeFailure ??= asDenimError(error);
      return false;
    }
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
