import type { Clock } from "../../base/clock.ts";
import { DenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { PROFILES, Replica } from "../../replica/replica.ts";
import type { StateCapture } from "../../store/backup.ts";
import { Copy } from "../../store/copy.ts";
import type { Channel } from "../../transport/channel.ts";
import type { IdentityFolder } from "../../store/identity.ts";
import type { Credentials } from "../../transport/credentials.ts";
import type { Hello } from "../../transport/handshake.ts";
import type { Listening, Transport } from "../../transport/transport.ts";
import { admitJoiner } from "../entry/admitting.ts";
import { fetchCapture } from "../entry/backing-up.ts";
import { Drivers } from "./drivers.ts";
import { Errands } from "./errands.ts";
import { EpochWatch } from "./epoch-watch.ts";
import { helloOf, isWelcome, judgeAnswer, judgePeer, type Self } from "./gate.ts";
import { GroupCheck } from "./group-check.ts";
import { IncomingSnapshots } from "./incoming.ts";
import { Lookout } from "./lookout.ts";
import { Mesh } from "./mesh.ts";
import { Planning } from "../leading/planning.ts";
import { readmitPeer, type ReadmittingParts } from "../entry/readmitting.ts";
import type { Retention } from "../settings.ts";
import { SecretThrottle } from "../entry/secret-throttle.ts";
import { type Beacons, cannotAdmit, serversOf, strangers } from "./servers.ts";
import { servePeer, type ServingParts } from "./serving.ts";
import type { ClusterSwitch } from "./switch.ts";
import { Trust } from "../trust/trust.ts";
import { Voters } from "./voters.ts";

export interface ControlPlaneOptions extends Self {
  readonly credentials: Credentials;
  readonly transport: Transport;
  readonly identity: IdentityFolder;
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
  readonly voters: Voters;
  readonly #options: ControlPlaneOptions;
  readonly #copy: Copy;
  readonly #drivers: Drivers;
  readonly trust: Trust;
  readonly #planning: Planning;
  readonly #groupCheck: GroupCheck;
  readonly #lookout: Lookout;
  readonly #serving: ServingParts & ReadmittingParts;
  readonly #throttle: SecretThrottle;
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
    this.trust = new Trust({
      ...options,
      ...{ mesh: this.mesh, state, replica: () => this.replica },
    });
    const { authority, rotation } = this.trust;
    this.voters = new Voters({
      ...{ self: options.nodeId, state, mesh: this.mesh },
      cluster: () => this.cluster,
      replica: () => this.replica,
      remote: () => this.#drivers.remote,
    });
    this.#drivers = new Drivers({
      ...{ ...options, copy: this.#copy, mesh: this.mesh },
      dropCaKeys: () => authority.drop(),
      connect: (address, signal) => this.#dial(address, signal, { wants: "watch" }),
      explain: this.voters.explain,
    });
    this.cluster = this.#drivers.cluster;
    this.#planning = new Planning({
      ...{ self: options.nodeId, state, mesh: this.mesh, clock, isDiskLow: options.isDiskLow },
      logger: logger.child("planner"),
      replica: () => this.replica,
      caKey: () => authority.keys(),
    });
    const otherServers = this.#otherServers;
    this.errands = new Errands({
      ...{ self: options.nodeId, mesh: this.mesh, clock, planning: this.#planning, rotation },
      replica: () => this.replica,
      upstream: () => this.#drivers.remote?.channel,
      isOut: () => this.#drivers.remote?.isOut === true,
      ...{ otherServers, ownRoutes: options.ownRoutes, explain: this.voters.explain },
    });
    this.#groupCheck = new GroupCheck({
      ...{ clock, mesh: this.mesh, otherServers },
      beacons: () => strangers(state(), options.beacons),
      dial: (address, signal) => this.#dial(address, signal, {}),
      replica: () => this.replica,
      onOut: (replica) => this.#drivers.leaveGroup(replica),
    });
    this.epochs = new EpochWatch({
      ...{ state, clock, cluster: this.cluster, logger: logger.child("epoch") },
    });
    this.#lookout = new Lookout({
      ...{ self: options.nodeId, cluster: this.cluster, mesh: this.mesh, clock },
      replica: () => this.replica,
      dial: (nodeId, address, signal) => this.#dial(address, signal, { expect: nodeId }),
    });
    this.#serving = this.#servingParts();
    this.#throttle = new SecretThrottle(clock);
    this.cluster.onChange(() => this.#followGroup());
  }

  /** Starts the driver that fits the store. */
  async start(): Promise<void> {
    await this.#drivers.start();
    this.trust.start(this.cluster, (csr) => this.errands.renew(csr));
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

  /** This host has another address: what goes by the former one would only be missed after seconds. */
  reconnect(): void {
    const reason = "this host has another address";
    this.mesh.hangUp(reason);
    this.#drivers.remote?.channel?.abandon(reason);
  }

  /**
   * The whole state, both sections, as of a linearizable read; an agent asks the server that it
   * follows for it. @throws `NO_LEADER` `CONNECTION_LOST`
   */
  async capture(): Promise<StateCapture> {
    await this.cluster.read("linearizable");
    const copy = this.#copy;
    if (this.replica !== undefined) return { applied: copy.applied(), records: copy.records() };
    const channel = this.#drivers.remote?.channel;
    if (channel !== undefined) return await fetchCapture(channel);
    throw new DenimError("CONNECTION_LOST", "This node has just lost its server", {
      fix: "try again",
    });
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
    await this.trust[Symbol.asyncDispose]();
    this.#lookout[Symbol.dispose]();
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
    const { clock, random, logger } = this.#options;
    return {
      ...{ cluster: this.cluster, clock, random, logger },
      ...{ authority: this.trust.authority, throttle: this.#throttle },
      standDown: (node: string) => this.errands.letGo(node, "stand-down"),
      lives: (node: string) => this.errands.lives(node),
    };
  }

  #servingParts(): ServingParts & ReadmittingParts {
    return {
      ...{ cluster: this.cluster, clock: this.#options.clock },
      replica: () => this.replica,
      becomeServer: (raftId) => this.#drivers.becomeServer(raftId),
      answerAsFormer: (messages) => this.#drivers.answerAsFormer(messages),
      keepCaKey: (caKey) => this.trust.authority.receive(caKey),
      signer: () => this.trust.authority.requireSigner(),
      rotateCa: (request) => this.errands.rotateCaOnce(request),
      noteConnected: (from, notice) => this.#planning.note(from, notice),
      noteTwin: () => this.mesh.noteTwin(),
      capture: () => this.capture(),
      leadership: () => this.voters.leadership(),
      ownRoutes: this.#options.ownRoutes,
      routesOf: (node, where) => this.errands.routesOf(node, where),
      letGo: (node, how) => this.errands.letGoOnce(node, how),
      lives: (node) => this.errands.lives(node),
      incoming: new IncomingSnapshots(),
    };
  }
}
