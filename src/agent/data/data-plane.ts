import type { BackendRegistry } from "../../backend/registry.ts";
import type { Cancel, Clock } from "../../base/clock.ts";
import { asDenimError, type DenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Address, Family } from "../../ip/address.ts";
import { equalPrefix, formatPrefix, parsePrefix, type Prefix } from "../../ip/prefix.ts";
import type { Cluster } from "../../lease/cluster.ts";
import { currentConfig } from "../../lease/current-config.ts";
import { leasesOfThisEpoch, theHold } from "../../lease/hold.ts";
import { equalEpoch, type LeaseAttributes } from "../../lease/records.ts";
import { type StateReader, theNetwork } from "../../lease/state.ts";
import { renderSubnetEnv } from "../../lease/subnet-env.ts";
import type { InterfaceWish } from "../../host/interfaces.ts";
import type { SubnetFile } from "../../host/subnet-file.ts";
import { mayFollowClaims, type Position } from "../../plan/confidence.ts";
import { diff } from "../../plan/diff.ts";
import type { Programs } from "../../plan/hook.ts";
import type { Kernel, Outcome } from "../../plan/kernel.ts";
import { formatChange } from "../../plan/text.ts";
import type { IdentityFolder } from "../../store/identity.ts";
import type { LeaseStanding } from "../leasing.ts";
import { HookRecord } from "./hook-record.ts";
import { HookRunner } from "./hook-runner.ts";
import { nameOfPlace, type Place, publicIpsOf } from "./place.ts";
import { PlaceKeeper } from "./place-keeper.ts";
import { noPrograms, type Preparation } from "./preparation.ts";
import { type Pass, Reconciler, type Situation } from "./reconcile.ts";
import { hookViews, type RouteView, routeViews } from "./route-view.ts";
import { sceneOf } from "./scene.ts";

export interface DataPlaneOptions {
  readonly nodeId: string;
  readonly kernel: Kernel;
  /** @default none, and whatever wants one is refused */
  readonly programs?: Programs | undefined;
  readonly preparation?: Preparation | undefined;
  readonly backends: BackendRegistry;
  readonly cluster: Cluster;
  readonly identity: IdentityFolder;
  readonly wish: InterfaceWish;
  readonly subnetFile: SubnetFile;
  readonly acceptExpiredLease: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly standing: () => LeaseStanding;
  /** What peers are to be told has changed; true where that is an address of this host. */
  readonly onAttributes: (hasMoved: boolean) => void;
  /** Container runtimes need not masquerade; asked before they are told. */
  readonly masquerades: () => Promise<boolean>;
}

/** A leader's word that is older than this confirms nothing. */
export const CONFIRMED_MS = 5_000;
const RECORD_MS = 1_000;

/** This host's routes, and what its container runtimes are told. */
export class DataPlane implements AsyncDisposable {
  readonly #options: DataPlaneOptions;
  readonly #reconciler: Reconciler;
  readonly #keeper: PlaceKeeper;
  readonly #hookRecord: HookRecord;
  readonly #hooks: HookRunner;
  /** The network config whose pools are remembered. */
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
    this.#keeper = new PlaceKeeper({
      ...options,
      logger: options.logger.child("interface"),
      onLasting: () => this.#reconciler.trigger(),
    });
    this.#hookRecord = new HookRecord(options.identity);
    this.#hooks = new HookRunner({
      programs: options.programs ?? noPrograms,
      record: this.#hookRecord,
      clock: options.clock,
      log: options.logger.child("commands"),
      onChange: () => this.#inOrder(() => this.#writeSubnetFile()),
    });
    this.#reconciler = new Reconciler({
      kernel: options.kernel,
      clock: options.clock,
      log: options.logger.child("routes"),
      onKernel: (state) => this.#keeper.look(state),
      situation: () => this.#situation(),
      onPass: (pass) => this.#onPass(pass),
      onFailure: (error) => (this.#failure = error),
    });
  }

  /** Finds this host's place in the network. @throws `INTERFACE_NOT_FOUND` `CONFIG_INVALID` */
  async prepare(network: string, signal?: AbortSignal): Promise<void> {
    await this.#keeper.prepare(network, await this.#options.kernel.read(), signal);
  }

  attributes(): LeaseAttributes {
    return this.#keeper.attributes();
  }

  get place(): Place | undefined {
    return this.#keeper.place;
  }

  /** What peers send to, IPv4 first; none before there is a place. */
  get publicIps(): readonly Address[] {
    return this.place === undefined ? [] : publicIpsOf(this.place);
  }

  /** Those of the network. */
  get families(): readonly Family[] {
    return this.place?.host.addresses.map(({ family }) => family) ?? [];
  }

  /** Why the data interface is not the one that was asked for. */
  get placeFailure(): DenimError | undefined {
    return this.#keeper.failure;
  }

  /** Every network that this data directory ever programmed. */
  get networks(): readonly Prefix[] {
    return this.#networks;
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
    await this.#hookRecord.load();
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
    return [...(this.#pass === undefined ? [] : routeViews(this.#pass)), ...hookViews(this.#hooks)];
  }

  /** Takes back what this host was given: its own routes and the subnet file. @returns what stays */
  async withdraw(): Promise<string[]> {
    const { kernel, subnetFile } = this.#options;
    await this.#reconciler[Symbol.asyncDispose]();
    const stays = await this.#hooks.withdraw();
    await this.#writing;
    const others: (readonly [string, () => Promise<string[]>])[] = [
      ["routes", async () => {
        const options = { networks: this.#networks, mode: "full" } as const;
        const { changes } = diff([], await kernel.read(), options);
        return (await kernel.apply(changes)).flatMap(failureOf);
      }],
      [subnetFile.path, async () => (await subnetFile.remove(), [])],
    ];
    for (const [what, remove] of others) {
      stays.push(...await remove().catch((error) => [`${what}: ${asDenimError(error).message}`]));
    }
    return stays;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reconciler[Symbol.asyncDispose]();
    this.#keeper.stop();
    await this.#hooks[Symbol.asyncDispose]();
    if (this.#recordDue !== undefined) this.#recordNow();
    await this.#writing;
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
        this.#settledNetwork = network;
        this.#keeper.network = network;
      }
      this.#reconciler.lookAnew();
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

  #situation(): Situation | undefined {
    const { cluster, nodeId, standing } = this.#options;
    const { place } = this;
    const view = cluster.view();
    const lease = standing();
    if (place === undefined || view === undefined || lease.kind === "none") return undefined;
    if (!networksOf(view.state).every((network) => this.#remembers(network))) return undefined;
    const { backend, host, data } = place;
    const { publicIps } = this;
    const own = { node: nodeId, subnets: lease.holding.subnets, publicIps, data };
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
    const { hooks, mode, claimed } = pass;
    this.#hooks.want({ hooks, mode, claimed, place: this.place ? nameOfPlace(this.place) : "" });
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
    if (lease.kind === "none" || networks.length === 0 || this.place === undefined) return;
    if (lease.kind === "fenced" && !acceptExpiredLease) return;
    if (!this.#hooks.isReady) return;
    const env = renderSubnetEnv({
      networks,
      subnets: lease.holding.subnets.map(parsePrefix),
      mtu: this.place.mtu,
      ipMasq: await this.#options.masquerades(),
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

function failureOf({ change, error }: Outcome): string[] {
  return error === undefined ? [] : [`${formatChange(change).join("; ")}: ${error}`];
}

function claimedSubnets(state: StateReader): Prefix[] {
  return leasesOfThisEpoch(state).flatMap(({ body }) => body.subnets.map(parsePrefix));
}

/** None before there is a cluster. */
function networksOf(state: StateReader): readonly Prefix[] {
  return currentConfig(state)?.pools.map((pool) => pool.network) ?? [];
}
