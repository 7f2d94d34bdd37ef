import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { BackendRegistry } from "../backend/registry.ts";
import { hex } from "../base/bytes.ts";
import { type Clock, sleep } from "../base/clock.ts";
import { asDenimError, assert, DenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import { makeFolder } from "../host/files.ts";
import { enableForwarding } from "../host/sysctl.ts";
import type { Address } from "../ip/address.ts";
import type { Holding } from "../lease/holding.ts";
import type { CommandOf } from "../lease/command.ts";
import type { Incarnation } from "../lease/records.ts";
import { theNetwork } from "../lease/state.ts";
import type { Kernel } from "../plan/kernel.ts";
import type { IdentityFolder } from "../store/identity.ts";
import type { NodeRecord } from "../store/identity-schema.ts";
import { Store } from "../store/store.ts";
import { ControlPlane } from "./control-plane.ts";
import { DataPlane } from "./data-plane.ts";
import { Leasing } from "./leasing.ts";
import { advertised, wishOf } from "./place.ts";
import { serversOf } from "./servers.ts";
import type { Settings } from "./settings.ts";
import { noteStart } from "./starts.ts";

export interface NodeParts {
  readonly settings: Settings;
  readonly identity: IdentityFolder;
  readonly kernel: Kernel;
  readonly backends: BackendRegistry;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Address that the data interface has to reach where nothing else was said. */
  readonly reach?: Address;
  /** The store, where somebody has begun to open it; the node's from here on. */
  readonly store?: Promise<Store>;
  /** Makes this host forward packets. @default the kernel's switch for IPv4 */
  readonly forward?: () => { readonly wasOff: boolean };
}

const RETRY_MS = 2_000;
/** How long the port lets the routes go first. */
const PORT_PATIENCE_MS = 100;

/** One node that belongs to a cluster, from its disk up: control plane, lease, data plane. */
export class Node implements AsyncDisposable {
  readonly record: NodeRecord;
  readonly settings: Settings;
  readonly control: ControlPlane;
  readonly data: DataPlane;
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
    this.control = made.control(() => this.data.routes());
    this.data = made.data(
      this.control,
      () => this.standing(),
      () => this.#leasing?.renewSoon(),
    );
  }

  /**
   * Starts what the state directory holds. Resolves when the ports are open; routes and lease
   * follow by themselves.
   *
   * @throws `STORE_DAMAGED` `STORE_LOCKED` `PORT_IN_USE` `PERMISSION_DENIED`
   */
  static async start(parts: NodeParts): Promise<Node> {
    const store = await (parts.store ?? Store.open(join(parts.settings.stateDir, "store")));
    let node: Node | undefined;
    try {
      node = new Node(parts, await assemble(parts, store));
      await node.#run();
      return node;
    } catch (error) {
      await (node ?? store)[Symbol.asyncDispose]();
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

  /** Why the data interface, or the backend, could not be used. */
  get prepareError(): DenimError | undefined {
    return this.#prepareError;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#preparing;
    await this.#leasing?.[Symbol.asyncDispose]();
    await this.data[Symbol.asyncDispose]();
    await this.control[Symbol.asyncDispose]();
    await this.#remembering;
    await this.#store[Symbol.asyncDispose]();
  }

  async #run(): Promise<void> {
    const { settings, logger } = this.#parts;
    makeFolder(dirname(settings.subnetFile));
    await this.data.load();
    this.control.start();
    this.control.cluster.onChange(() => this.#rememberServers());
    this.#preparing = this.#prepare();
    await this.#routed();
    await this.control.open();
    void this.#announce({ incarnation: this.#incarnation, version: settings.version });
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
        await this.data.prepare(network);
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
    this.data.start();
    this.#announceAddress();
  }

  #startLeasing(): void {
    const { clock, random, logger, identity } = this.#parts;
    this.#leasing = new Leasing({
      node: this.record.nodeId,
      cluster: this.control.cluster,
      ...{ clock, random },
      logger: logger.child("lease"),
      bootId: bootId(),
      holding: this.#holding,
      attributes: () => this.data.attributes(),
      keep: (holding) => identity.write("lease", copyOf(holding)),
      onChange: () => this.data.trigger(),
    });
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
    try {
      const { forward = () => enableForwarding(4) } = this.#parts;
      if (forward().wasOff) logger.info("turned on net.ipv4.ip_forward");
    } catch (error) {
      logger.warn("cannot turn on forwarding", { why: asDenimError(error).message });
    }
  }

  /** A host may have moved while its daemon was down; its identity, and so its lease, stays. */
  #announceAddress(): void {
    const { nodeId } = this.record;
    const address = advertised(this.settings, this.data.publicIp!);
    const known = this.control.cluster.view()?.state.get("node", nodeId)?.body.address;
    if (known !== address) void this.#announce({ address });
  }

  /**
   * Facts of this node, said until the cluster has them: its address, or which process of it
   * lives; that is how a cloned disk is found.
   */
  async #announce(
    facts: Pick<CommandOf<"node.update">, "address" | "incarnation" | "version">,
  ): Promise<void> {
    const { clock } = this.#parts;
    const { signal } = this.#stop;
    const { nodeId } = this.record;
    while (!signal.aborted) {
      try {
        await this.control.cluster.propose({ kind: "node.update", node: nodeId, ...facts }, {
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
    const members = serversOf(view.state)
      .map(({ address, ...server }) => ({ ...server, addresses: [address] }));
    const text = JSON.stringify(members);
    if (members.length === 0 || text === this.#rememberedServers) return;
    this.#rememberedServers = text;
    this.#remembering = this.#remembering
      .then(() => identity.write("servers", { members, seeds: [...this.#seeds] }))
      .catch(() => void (this.#rememberedServers = ""));
  }
}

interface Made {
  readonly record: NodeRecord;
  readonly store: Store;
  readonly incarnation: Incarnation;
  readonly holding: Holding | undefined;
  readonly seeds: readonly string[];
  readonly control: (ownRoutes: () => unknown) => ControlPlane;
  readonly data: (
    control: ControlPlane,
    standing: () => ReturnType<Node["standing"]>,
    onAttributes: () => void,
  ) => DataPlane;
}

async function assemble(parts: NodeParts, store: Store): Promise<Made> {
  const { identity, settings, clock, random, logger, kernel, backends } = parts;
  const [record, key, cert, caBundle, servers, lease] = await Promise.all([
    identity.read("node"),
    identity.readPem("key"),
    identity.readPem("cert"),
    identity.readPem("ca"),
    identity.read("servers"),
    identity.read("lease"),
  ]);
  assert(record !== undefined, "a node that starts has an identity");
  if (key === undefined || cert === undefined || caBundle === undefined) {
    throw new DenimError("STORE_DAMAGED", `The identity in ${identity.path} is not complete`, {
      why: "a key or certificate is missing",
      fix: "put the files back from a backup, or join again with a new token",
    });
  }
  if (await identity.read("secret") === undefined) {
    await identity.write("secret", { seed: hex(random.bytes(32)) });
  }
  const { nodeId, clusterId, role } = record;
  const { incarnation, starts } = await noteStart(store, nodeId, random);
  const remembered = (servers?.members ?? []).flatMap(({ addresses }) => addresses);
  const seeds = settings.seeds.length > 0 ? settings.seeds : servers?.seeds ?? [];
  return {
    ...{ record, store, incarnation, seeds, holding: lease },
    control: (ownRoutes) =>
      new ControlPlane({
        ...{ nodeId, clusterId, role, incarnation, starts, store, clock, random, logger },
        ...{ version: settings.version, listen: settings.listen, profile: settings.profile },
        credentials: { caBundle, cert, key },
        caKey: () => identity.readPem("caKey"),
        keepCaKey: (caKey) =>
          caKey === undefined ? identity.remove("caKey") : identity.writePem("caKey", caKey),
        beacons: { self: nodeId, remembered, seeds },
        ownRoutes,
      }),
    data: (control, standing, onAttributes) =>
      new DataPlane({
        ...{ nodeId, kernel, backends, identity, clock, logger, standing },
        cluster: control.cluster,
        wish: wishOf(settings, parts.reach),
        subnetFile: settings.subnetFile,
        acceptExpiredLease: settings.acceptExpiredLease,
        onAttributes,
      }),
  };
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/** The identity's files take plain arrays. */
function copyOf(holding: Holding) {
  return { ...holding, subnets: [...holding.subnets] };
}
