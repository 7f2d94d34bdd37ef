import { sleep } from "../base/clock.ts";
import { asDenimError, type DenimError } from "../base/errors.ts";
import { enableForwarding } from "../host/sysctl.ts";
import { currentConfig } from "../lease/current-config.ts";
import type { Holding } from "../lease/holding.ts";
import type { CommandOf } from "../lease/command.ts";
import { FEATURES } from "../lease/feature-level.ts";
import type { Incarnation } from "../lease/records.ts";
import { theNetwork } from "../lease/state.ts";
import type { NodeRecord } from "../store/identity-schema.ts";
import type { Store } from "../store/store.ts";
import { assemble, type Made, type NodeParts } from "./assemble.ts";
import type { ControlPlane } from "./control/control-plane.ts";
import { CONFIRMED_MS, type DataPlane } from "./data/data-plane.ts";
import { networkRules, type PacketRules, type WantedRules } from "./data/packet-rules.ts";
import { DiskWatch } from "./disk-watch.ts";
import { Leasing } from "./leasing.ts";
import { advertised } from "./data/place.ts";
import { membersToKeep, serversOf } from "./control/servers.ts";
import type { Settings } from "./settings.ts";

const RETRY_MS = 2_000;
/** How long the port lets the routes go first. */
const PORT_PATIENCE_MS = 100;

/** One node that belongs to a cluster, from its disk up: control plane, lease, data plane. */
export class Node implements AsyncDisposable {
  readonly record: NodeRecord;
  readonly settings: Settings;
  readonly control: ControlPlane;
  readonly data: DataPlane;
  readonly rules: PacketRules;
  readonly disk: DiskWatch;
  readonly #parts: NodeParts;
  readonly #store: Store;
  readonly #incarnation: Incarnation;
  readonly #stop = new AbortController();
  /** Given by hand, now or when this node joined. */
  readonly #seeds: readonly string[];
  #leasing: Leasing | undefined;
  #holding: Holding | undefined;
  #preparing: Promise<void> = Promise.resolve();
  #prepareError: DenimError | undefined;
  #rememberedServers = "";
  #remembering: Promise<void> = Promise.resolve();

  private constructor(parts: NodeParts, made: Made) {
    this.#parts = parts;
    this.settings = parts.settings;
    this.record = made.record;
    this.#store = made.store;
    this.#incarnation = made.incarnation;
    this.#seeds = made.seeds;
    this.#holding = made.holding;
    const { place, settings, clock, logger } = parts;
    this.disk = new DiskWatch({
      ...{ place, limits: settings.disk, clock, logger: logger.child("disk") },
      isServer: () => this.control.replica !== undefined,
    });
    this.control = made.control(() => this.data.routes(), () => this.disk.isLow);
    this.data = made.data(
      this.control,
      () => this.standing(),
      (hasMoved) => {
        if (hasMoved) this.control.reconnect();
        this.#turnOnForwarding();
        this.#leasing?.renewSoon();
        this.#announceAddress();
      },
      () => this.rules.masquerades(),
    );
    this.rules = made.rules(() => this.#wantedRules());
  }

  /**
   * Starts what the state directory holds. Resolves when the ports are open; routes and lease
   * follow by themselves.
   *
   * @throws `STORE_DAMAGED` `STORE_LOCKED` `PORT_IN_USE` `PERMISSION_DENIED` `UPGRADE_NEEDED`
   */
  static async start(parts: NodeParts): Promise<Node> {
    let open: AsyncDisposable | undefined;
    try {
      const node = new Node(parts, await assemble(parts, (store) => (open = store)));
      open = node;
      await node.#run();
      return node;
    } catch (error) {
      await open?.[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** How this node stands to its lease. */
  standing(): ReturnType<Leasing["standing"]> {
    if (this.#leasing !== undefined) return this.#leasing.standing();
    // Before leasing runs, what the disk says is all there is, and nothing vouches for it.
    const holding = this.#holding;
    return holding === undefined ? { kind: "none" } : { kind: "fenced", holding, error: undefined };
  }

  /**
   * Out of the cluster, and off this host's routes. The cluster frees the subnet with its answer,
   * which may be lost: so this node stops trusting its lease before it asks.
   *
   * @returns what stays on this host
   * @throws why it stays, with its lease to be confirmed anew
   */
  async leave(options: { readonly keepLease?: boolean } = {}): Promise<readonly string[]> {
    await this.#surrender();
    try {
      const how = options.keepLease === true ? "leave-keeping" : "leave";
      await this.control.errands.letGo(this.record.nodeId, how);
    } catch (error) {
      this.#startLeasing();
      throw error;
    }
    return await this.withdraw();
  }

  /** Takes back what this host was given: rules, routes and the subnet file. @returns what stays */
  async withdraw(): Promise<readonly string[]> {
    const stays = [...await this.#withdrawRules(), ...await this.data.withdraw()];
    for (const what of stays) this.#parts.logger.warn("something stays behind", { what });
    return stays;
  }

  /** Why the data interface, or the backend, could not be used. */
  get prepareError(): DenimError | undefined {
    return this.#prepareError;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#preparing;
    await this.#leasing?.[Symbol.asyncDispose]();
    await this.rules[Symbol.asyncDispose]();
    await this.data[Symbol.asyncDispose]();
    await this.control[Symbol.asyncDispose]();
    await this.disk[Symbol.asyncDispose]();
    await this.#remembering;
    await this.#store[Symbol.asyncDispose]();
  }

  async #run(): Promise<void> {
    const { settings, logger } = this.#parts;
    this.#parts.subnetFile.prepare();
    await this.data.load();
    await this.control.start();
    this.control.cluster.onChange(() => this.#rememberServers());
    this.#preparing = this.#prepare();
    await this.#routed();
    await this.control.open();
    const { version, zone = "" } = settings;
    const facts = { incarnation: this.#incarnation, version, features: FEATURES, zone };
    void this.#announce(() => facts);
    logger.info("the node is up", { node: this.record.name, port: this.control.port });
  }

  /**
   * Containers wait for the subnet file, and hardly anybody for the port, whose certificates take a
   * while to read: so it opens second where the disk has all that routes take.
   */
  async #routed(): Promise<void> {
    const stop = new AbortController();
    const late = sleep(this.#parts.clock, PORT_PATIENCE_MS, stop.signal);
    await Promise.race([this.data.settled, late]);
    stop.abort();
  }

  /** Once the network is known, by disk or by the first server: lease and routes. */
  async #prepare(): Promise<void> {
    const { clock, logger } = this.#parts;
    const { signal } = this.#stop;
    const network = await this.#networkKnown();
    while (network !== undefined && !signal.aborted) {
      try {
        await this.data.prepare(network, signal);
        break;
      } catch (error) {
        const failure = asDenimError(error);
        if (this.#prepareError?.message !== failure.message) {
          logger.error(failure.message, { why: failure.why, fix: failure.fix });
        }
        this.#prepareError = failure;
        await sleep(clock, RETRY_MS, signal);
      }
    }
    if (network === undefined || signal.aborted) return;
    this.#prepareError = undefined;
    this.#turnOnForwarding();
    this.#startLeasing();
    this.rules.start();
    this.data.start();
    this.control.cluster.onChange(() => this.rules.refresh());
    this.#announceAddress();
  }

  #startLeasing(): void {
    const { clock, random, logger, identity } = this.#parts;
    this.#leasing = new Leasing({
      node: this.record.nodeId,
      cluster: this.control.cluster,
      ...{ clock, random },
      logger: logger.child("lease"),
      bootId: this.#parts.bootId,
      holding: this.#holding,
      attributes: () => this.data.attributes(),
      introduction: () => ({
        ...{ name: this.record.name, role: this.record.role, features: FEATURES },
        address: advertised(this.settings, this.data.publicIps[0]!),
        version: this.settings.version,
      }),
      keep: (holding) => identity.write("lease", copyOf(holding)),
      onChange: () => {
        this.data.trigger();
        this.rules.refresh();
      },
    });
  }

  #wantedRules(): WantedRules | undefined {
    const { settings } = this.#parts;
    const view = this.control.cluster.view();
    const config = view && currentConfig(view.state);
    const standing = this.standing();
    if (config === undefined || standing.kind === "none") return undefined;
    const switches = { masquerade: settings.ipMasq, forward: settings.forwardRules };
    return {
      rules: networkRules(config, standing.holding.subnets, switches),
      networks: this.data.networks,
      confirmed: view?.leaderAgeMs !== undefined && view.leaderAgeMs < CONFIRMED_MS,
    };
  }

  /** What cannot be removed is no reason to stay. */
  async #withdrawRules(): Promise<readonly string[]> {
    try {
      return await this.rules.withdraw(this.data.networks);
    } catch (error) {
      return [`rules of the packet filter: ${asDenimError(error).message}`];
    }
  }

  async #surrender(): Promise<void> {
    const standing = this.standing();
    await this.#leasing?.[Symbol.asyncDispose]();
    this.#leasing = undefined;
    if (standing.kind === "none") return;
    this.#holding = { ...standing.holding, ttlMs: 0 };
    await this.#parts.identity.write("lease", copyOf(this.#holding));
  }

  async #networkKnown(): Promise<string | undefined> {
    const { cluster } = this.control;
    const known = () => {
      const view = cluster.view();
      return view && theNetwork(view.state);
    };
    const { signal } = this.#stop;
    if (known() === undefined && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const unsubscribe = cluster.onChange(() => {
          if (known() === undefined) return;
          unsubscribe();
          resolve();
        });
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
    }
    return known();
  }

  /** A host that does not forward carries no container's packets. */
  #turnOnForwarding(): void {
    const { logger } = this.#parts;
    const { forward = enableForwarding } = this.#parts;
    try {
      for (const family of this.data.families) {
        if (forward(family).wasOff) logger.info(`turned on forwarding of IPv${family}`);
      }
    } catch (error) {
      logger.warn("cannot turn on forwarding", { why: asDenimError(error).message });
    }
  }

  /** A host may have moved while its daemon was down; its identity, and so its lease, stays. */
  #announceAddress(): void {
    const { nodeId } = this.record;
    const facts = () => ({ address: advertised(this.settings, this.data.publicIps[0]!) });
    const known = this.control.cluster.view()?.state.get("node", nodeId)?.body.address;
    if (known !== facts().address) void this.#announce(facts);
  }

  /**
   * Facts of this node, as they are then, said until the cluster has them: its address, or which
   * process of it lives; that is how a cloned disk is found.
   */
  async #announce(
    facts: () => Omit<CommandOf<"node.update">, "kind" | "node">,
  ): Promise<void> {
    const { clock } = this.#parts;
    const { signal } = this.#stop;
    const { nodeId } = this.record;
    while (!signal.aborted) {
      try {
        await this.control.cluster.propose({ kind: "node.update", node: nodeId, ...facts() }, {
          signal,
        });
        return;
      } catch {
        await sleep(clock, RETRY_MS, signal);
      }
    }
  }

  /** Whom to ask after a restart, in case everything known has moved. One write at a time. */
  #rememberServers(): void {
    const { identity } = this.#parts;
    const view = this.control.cluster.view();
    if (view === undefined) return;
    const members = membersToKeep(serversOf(view.state));
    const text = JSON.stringify(members);
    if (members.length === 0 || text === this.#rememberedServers) return;
    this.#rememberedServers = text;
    this.#remembering = this.#remembering
      .then(() => identity.write("servers", { members, seeds: [...this.#seeds] }))
      .catch(() => void (this.#rememberedServers = ""));
  }
}

/** The identity's files take plain arrays. */
function copyOf(holding: Holding) {
  return { ...holding, subnets: [...holding.subnets] };
}
