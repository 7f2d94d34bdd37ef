import type { Clock } from "../base/clock.ts";
import { DenimError, isDenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { PROFILES, Replica } from "../replica/replica.ts";
import { Copy } from "../store/copy.ts";
import type { Channel } from "../transport/channel.ts";
import type { Credentials } from "../transport/credentials.ts";
import type { Hello } from "../transport/handshake.ts";
import type { Listening, Transport } from "../transport/transport.ts";
import { keyFits } from "../transport/certificate.ts";
import { admitJoiner } from "./admitting.ts";
import { Drivers } from "./drivers.ts";
import { Errands } from "./errands.ts";
import { EpochWatch } from "./epoch-watch.ts";
import { helloOf, isWelcome, judgeAnswer, judgePeer, type Self } from "./gate.ts";
import { GroupCheck } from "./group-check.ts";
import { IncomingSnapshots } from "./incoming.ts";
import { Mesh } from "./mesh.ts";
import { Planning } from "./planning.ts";
import { readmitPeer, type ReadmittingParts } from "./readmitting.ts";
import type { Retention } from "./settings.ts";
import { type Beacons, cannotAdmit, serversOf } from "./servers.ts";
import { servePeer, type ServingParts } from "./serving.ts";
import type { ClusterSwitch } from "./switch.ts";

export interface ControlPlaneOptions extends Self {
  readonly credentials: Credentials;
  readonly transport: Transport;
  readonly caKey: () => Promise<string | undefined>;
  /** With `undefined` it is removed: this node may no longer sign. */
  readonly keepCaKey: (caKey: string | undefined) => Promise<void>;
  readonly listen: { readonly host: string; readonly port: number };
  /** Where servers may be; see `serversToTry`. */
  readonly beacons: Beacons;
  readonly profile: keyof typeof PROFILES;
  readonly retention?: Retention;
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
 * A node's side of the cluster: its copy of the state, its connections, what it answers over them,
 * and the driver that keeps the one in step through the other.
 */
export class ControlPlane implements AsyncDisposable {
  readonly cluster: ClusterSwitch;
  readonly mesh: Mesh;
  readonly errands: Errands;
  readonly epochs: EpochWatch;
  readonly #options: ControlPlaneOptions;
  readonly #copy: Copy;
  readonly #drivers: Drivers;
  readonly #planning: Planning;
  readonly #groupCheck: GroupCheck;
  readonly #serving: ServingParts & ReadmittingParts;
  #listener: Listening | undefined;

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
      ...{ state, clock, random, logger: logger.child("mesh"), retention: options.retention },
      dial: (nodeId, address, signal) => this.#dial(address, signal, { expect: nodeId }),
      onUnreachable: (raftId) => this.replica?.reportUnreachable(raftId),
    });
    this.#drivers = new Drivers({
      ...{ ...options, copy: this.#copy, mesh: this.mesh },
      connect: (address, signal) => this.#dial(address, signal, { wants: "watch" }),
    });
    this.cluster = this.#drivers.cluster;
    this.#planning = new Planning({
      ...{ self: options.nodeId, state, mesh: this.mesh, clock, isDiskLow: options.isDiskLow },
      logger: logger.child("planner"),
      replica: () => this.replica,
      caKey: options.caKey,
    });
    const otherServers = this.#otherServers;
    this.errands = new Errands({
      ...{ self: options.nodeId, mesh: this.mesh, planning: this.#planning, clock },
      replica: () => this.replica,
      upstream: () => this.#drivers.remote?.channel,
      isOut: () => isDenimError(this.#drivers.remote?.lastError, "NOT_A_MEMBER"),
      ...{ otherServers, ownRoutes: options.ownRoutes },
    });
    this.#groupCheck = new GroupCheck({
      ...{ clock, mesh: this.mesh, otherServers },
      replica: () => this.replica,
      onOut: (replica) => this.#drivers.leaveGroup(replica),
    });
    this.epochs = new EpochWatch({
      ...{ state, clock, cluster: this.cluster, logger: logger.child("epoch") },
    });
    this.#serving = this.#servingParts();
    this.cluster.onChange(() => this.#followGroup());
  }

  /** Starts the driver that fits the store. */
  start(): void {
    this.#drivers.start();
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
    return this.#drivers.replica;
  }

  /** The server that an agent follows now, or why it follows none. */
  get upstream(): { readonly connected: boolean; readonly error: DenimError | undefined } {
    const { remote } = this.#drivers;
    return { connected: remote?.channel !== undefined, error: remote?.lastError };
  }

  /** The store could not be written: this node goes on in memory. */
  get storeFailure(): DenimError | undefined {
    return this.#drivers.storeFailure;
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
    this.#groupCheck[Symbol.dispose]();
    await this.#planning[Symbol.asyncDispose]();
    await this.#drivers[Symbol.asyncDispose]();
    await this.mesh[Symbol.asyncDispose]();
    await this.#listener?.[Symbol.asyncDispose]();
  }

  /** Connections and driver follow the group as the state has it. */
  #followGroup(): void {
    this.mesh.keep(new Set(this.replica === undefined ? [] : this.#otherServers()));
    if (this.mesh.hasStrangers(this.#isMember)) {
      this.#options.clock.after(FAREWELL_MS, () => this.mesh.dismissStrangers(this.#isMember));
    }
    this.#drivers.followGroup();
  }

  readonly #isMember = (node: string): boolean => isWelcome(this.#copy.state, node);

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
      admit: this.epochs.noting((server) =>
        judgeAnswer(this.#copy.state, hello, server, this.#drivers.remote?.leaderlessMs)
      ),
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
      ...{ cluster: this.cluster, clock: this.#options.clock },
      replica: () => this.replica,
      becomeServer: (raftId) => this.#drivers.becomeServer(raftId),
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
      incoming: new IncomingSnapshots(),
    };
  }
}
