import type { BackendRegistry } from "../backend/registry.ts";
import type { Cancel, Clock } from "../base/clock.ts";
import { asDenimError, DenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { type Address, formatAddress } from "../ip/address.ts";
import { equalPrefix, formatPrefix, parsePrefix, type Prefix } from "../ip/prefix.ts";
import type { Cluster } from "../lease/cluster.ts";
import { currentConfig } from "../lease/current-config.ts";
import { leasesOfThisEpoch, theHold } from "../lease/hold.ts";
import { equalEpoch, type LeaseAttributes } from "../lease/records.ts";
import { type StateReader, theNetwork } from "../lease/state.ts";
import { renderSubnetEnv } from "../lease/subnet-env.ts";
import type { InterfaceWish } from "../host/interfaces.ts";
import type { SubnetFile } from "../host/subnet-file.ts";
import { mayFollowClaims, type Position } from "../plan/confidence.ts";
import { diff } from "../plan/diff.ts";
import type { Kernel } from "../plan/kernel.ts";
import type { IdentityFolder } from "../store/identity.ts";
import type { LeaseStanding } from "./leasing.ts";
import { attributesOf, findPlace, type Place } from "./place.ts";
import { type Pass, Reconciler, type Situation } from "./reconcile.ts";
import { sceneOf } from "./scene.ts";

export interface DataPlaneOptions {
  readonly nodeId: string;
  readonly kernel: Kernel;
  readonly backends: BackendRegistry;
  readonly cluster: Cluster;
  readonly identity: IdentityFolder;
  readonly wish: InterfaceWish;
  readonly subnetFile: SubnetFile;
  readonly acceptExpiredLease: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly standing: () => LeaseStanding;
  /** What peers are to be told has changed. */
  readonly onAttributes: () => void;
}

/** One route of this node as others may see it. */
export interface RouteView {
  readonly destination: string;
  readonly via: string | undefined;
  readonly device: string | undefined;
  readonly state: "ok" | "missing" | "different" | "extra" | "conflict" | "failed";
  readonly error?: string;
}

/** A leader's word that is older than this confirms nothing. */
const CONFIRMED_MS = 5_000;
const RECORD_MS = 1_000;

/** This host's routes, and what its container runtimes are told. */
export class DataPlane implements AsyncDisposable {
  readonly #options: DataPlaneOptions;
  readonly #reconciler: Reconciler;
  #place: Place | undefined;
  /** The network config that the place was found for, or was last looked for. */
  #network: string | undefined;
  /** The network whose pools are remembered and whose backend this host has a place for. */
  #settledNetwork: string | undefined;
  #networks: readonly Prefix[] = [];
  #programmed: Position | undefined;
  /** Set while the disk does not have it. */
  #recordDue: Cancel | undefined;
  #pass: Pass | undefined;
  #failure: DenimError | undefined;
  #envText: string | undefined;
  #writing: Promise<void> = Promise.resolve();
  readonly #settled = Promise.withResolvers<void>();

  constructor(options: DataPlaneOptions) {
    this.#options = options;
    this.#reconciler = new Reconciler({
      kernel: options.kernel,
      clock: options.clock,
      log: options.logger.child("routes"),
      situation: () => this.#situation(),
      onPass: (pass) => this.#onPass(pass),
      onFailure: (error) => (this.#failure = error),
    });
  }

  /** Finds this host's place in the network. @throws `INTERFACE_NOT_FOUND` `CONFIG_INVALID` */
  async prepare(network: string): Promise<void> {
    const { backends, kernel, wish, identity } = this.#options;
    this.#network = network;
    const { seed } = (await identity.read("secret"))!;
    this.#place = await findPlace({ kernel: await kernel.read(), backends, wish, seed, network });
  }

  attributes(): LeaseAttributes {
    return attributesOf(this.#prepared());
  }

  get backendName(): string | undefined {
    return this.#place?.backend.name;
  }

  get link(): string | undefined {
    return this.#place?.host.link.name;
  }

  get publicIp(): Address | undefined {
    return this.#place?.host.publicIp;
  }

  get mtu(): number | undefined {
    return this.#place?.mtu;
  }

  get lastPass(): Pass | undefined {
    return this.#pass;
  }

  get failure(): DenimError | undefined {
    return this.#failure;
  }

  /** The container runtimes of this host can start. */
  get subnetFileWritten(): boolean {
    return this.#envText !== undefined;
  }

  /** Resolves when the first pass is over and what follows from it is on disk. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  /** What this data directory ever programmed. @throws `STORE_DAMAGED` */
  async load(): Promise<void> {
    const record = await this.#options.identity.read("programmed");
    if (record === undefined) return;
    const { epoch, revision, networks } = record;
    this.#programmed = { epoch, revision };
    this.#networks = networks.map(parsePrefix);
  }

  start(): void {
    this.#onState();
    this.#options.cluster.onChange(() => this.#onState());
    this.#reconciler.start();
  }

  /** The lease, or what is known of others, has changed. */
  trigger(): void {
    this.#reconciler.trigger();
  }

  routes(): RouteView[] {
    const pass = this.#pass;
    if (pass === undefined) return [];
    const failed = new Map(
      pass.outcomes.map(({ change, error }) => [formatPrefix(change.item.destination), error]),
    );
    return pass.items.flatMap((item): RouteView[] => {
      const destination = formatPrefix(item.destination);
      const { via, device } = item.wanted ?? item.actual ?? {};
      const error = failed.get(destination) ?? item.why;
      const settled = failed.has(destination) && failed.get(destination) === undefined;
      if (settled && item.state === "extra") return [];
      const state = failed.get(destination) !== undefined ? "failed" : settled ? "ok" : item.state;
      return [{
        destination,
        via: via === undefined ? undefined : formatAddress(via),
        device,
        state,
        ...(error === undefined ? {} : { error }),
      }];
    });
  }

  /** Takes back what this host was given: its own routes and the subnet file. */
  async withdraw(): Promise<void> {
    const { kernel, subnetFile } = this.#options;
    await this.#reconciler[Symbol.asyncDispose]();
    await this.#writing;
    const { routes } = await kernel.read();
    const { changes } = diff([], routes, { networks: this.#networks, mode: "full" });
    await kernel.apply(changes);
    await subnetFile.remove();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reconciler[Symbol.asyncDispose]();
    if (this.#recordDue !== undefined) this.#recordNow();
    await this.#writing;
  }

  #prepared(): Place {
    if (this.#place !== undefined) return this.#place;
    throw new DenimError("INTERFACE_NOT_FOUND", "The data interface is not known yet");
  }

  #onState(): void {
    const view = this.#options.cluster.view();
    const known = view && theNetwork(view.state);
    // Mostly it is the nodes that have changed: their routes wait for nobody's disk.
    if (known !== undefined && known === this.#settledNetwork) return this.#reconciler.trigger();
    this.#inOrder(async () => {
      const view = this.#options.cluster.view();
      const network = view && theNetwork(view.state);
      if (view !== undefined && network !== undefined) {
        await this.#rememberNetworks(networksOf(view.state), view.position);
        if (network !== this.#network) await this.#prepareAnew(network);
        this.#settledNetwork = this.#network === network ? network : undefined;
      }
      this.#reconciler.trigger();
    });
  }

  /** A network is remembered before its first route: what is forgotten could never be removed. */
  async #rememberNetworks(current: readonly Prefix[], position: Position): Promise<void> {
    const added = current.filter((network) => !this.#remembers(network));
    if (added.length === 0) return;
    const networks = [...this.#networks, ...added];
    this.#programmed ??= { ...position, revision: 0 };
    await this.#record(this.#programmed, networks);
    this.#networks = networks;
  }

  #remembers(network: Prefix): boolean {
    return this.#networks.some((known) => equalPrefix(known, network));
  }

  /** The network config has changed while this node runs. What does not fit changes nothing. */
  async #prepareAnew(network: string): Promise<void> {
    const before = JSON.stringify(this.attributes());
    try {
      await this.prepare(network);
    } catch (error) {
      this.#failure = asDenimError(error);
      const { message, why } = this.#failure;
      this.#options.logger.error("the new network config does not fit this host", { message, why });
      return;
    }
    if (JSON.stringify(this.attributes()) !== before) this.#options.onAttributes();
  }

  #situation(): Situation | undefined {
    const { cluster, nodeId, standing } = this.#options;
    const place = this.#place;
    const view = cluster.view();
    const lease = standing();
    if (place === undefined || view === undefined || lease.kind === "none") return undefined;
    if (!networksOf(view.state).every((network) => this.#remembers(network))) return undefined;
    const { backend, host, data } = place;
    const own = { node: nodeId, subnets: lease.holding.subnets, publicIp: host.publicIp, data };
    const scene = sceneOf(view.state, host, own, backend.name);
    if (scene === undefined) return undefined;
    const confidence = {
      ...view.position,
      confirmedByLeader: view.leaderAgeMs !== undefined && view.leaderAgeMs < CONFIRMED_MS,
      hold: theHold(view.state) !== undefined,
      programmed: this.#programmed,
    };
    return {
      ...{ ...scene, backend, confidence },
      networks: this.#networks,
      claimed: mayFollowClaims(confidence) ? claimedSubnets(view.state) : [],
    };
  }

  #onPass(pass: Pass): void {
    this.#pass = pass;
    this.#failure = undefined;
    if (pass.programmed !== undefined) this.#noteProgrammed(pass.programmed);
    this.#inOrder(async () => {
      await this.#writeSubnetFile();
      this.#settled.resolve();
    });
  }

  /**
   * On disk within a second, as an agent's copy of the state is: many hosts that join one after the
   * other are one write.
   */
  #noteProgrammed(position: Position): void {
    const now = this.#programmed;
    const same = now !== undefined && now.revision === position.revision &&
      equalEpoch(now.epoch, position.epoch);
    if (same) return;
    this.#programmed = position;
    this.#recordDue ??= this.#options.clock.after(RECORD_MS, () => this.#recordNow());
  }

  #recordNow(): void {
    this.#recordDue?.();
    this.#recordDue = undefined;
    this.#inOrder(() => this.#record(this.#programmed!, this.#networks));
  }

  async #record(position: Position, networks: readonly Prefix[]): Promise<void> {
    const { epoch, revision } = position;
    const texts = networks.map(formatPrefix);
    await this.#options.identity.write("programmed", { epoch, revision, networks: texts });
  }

  /** Only for a lease that can be relied on, and only once this host's own routes are in. */
  async #writeSubnetFile(): Promise<void> {
    const { cluster, standing, subnetFile, acceptExpiredLease, logger } = this.#options;
    const lease = standing();
    const view = cluster.view();
    const networks = view === undefined ? [] : networksOf(view.state);
    if (lease.kind === "none" || networks.length === 0) return;
    if (lease.kind === "fenced" && !acceptExpiredLease) return;
    const env = renderSubnetEnv({
      networks,
      subnets: lease.holding.subnets.map(parsePrefix),
      mtu: this.#prepared().mtu,
      ipMasq: false,
    });
    if (env === this.#envText && subnetFile.exists()) return;
    await subnetFile.write(env);
    this.#envText = env;
    logger.info("wrote the subnet file", { path: subnetFile.path });
  }

  #inOrder(work: () => Promise<void>): void {
    this.#writing = this.#writing.then(work).catch((error: Error) => {
      this.#options.logger.error("cannot record the state of the data plane", {
        why: error.message,
      });
    });
  }
}

function claimedSubnets(state: StateReader): Prefix[] {
  return leasesOfThisEpoch(state).flatMap(({ body }) => body.subnets.map(parsePrefix));
}

/** None before there is a cluster. */
function networksOf(state: StateReader): readonly Prefix[] {
  return currentConfig(state)?.pools.map((pool) => pool.network) ?? [];
}
