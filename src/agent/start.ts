import { join } from "node:path";
import type { Service } from "../api/service.ts";
import type { Backend } from "../backend/backend.ts";
import { BackendRegistry } from "../backend/registry.ts";
import { type Clock, sleep, systemClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { AllowList } from "../host/allow-list.ts";
import { ForeignBackends } from "../host/backends/foreign-backends.ts";
import { lockDirectory } from "../host/lock.ts";
import { bootId } from "../host/boot.ts";
import { HostPrograms } from "../host/programs.ts";
import { requireNetworkRights } from "../host/rights.ts";
import { withConflist } from "../host/cni/conflist-file.ts";
import { type SubnetFile, subnetFileAt } from "../host/subnet-file.ts";
import { openLibc } from "../kernel/libc.ts";
import { LinuxKernel } from "../kernel/linux-kernel.ts";
import { LinuxPacketFilter } from "../kernel/linux-packet-filter.ts";
import { IdentityFolder } from "../store/identity.ts";
import { storeFolder } from "../store/place.ts";
import { tlsTransport } from "../transport/tls-transport.ts";
import { Preparation } from "./data/preparation.ts";
import { enterCluster, type Way } from "./entry/entry.ts";
import { etcdSource, openEtcd } from "./etcd-face.ts";
import { Node } from "./node.ts";
import { NodeService } from "./service.ts";
import type { Settings } from "./settings.ts";
import { leaveAsFound, leaveNothing, openStateDir } from "./entry/state-dir.ts";

export interface StartOptions {
  readonly settings: Settings;
  /** What this host calls itself. */
  readonly name: string;
  readonly way: Way;
  readonly backends: readonly Backend[];
  readonly logger: Logger;
  /** Ends what is still waiting to be in a cluster. */
  readonly signal: AbortSignal;
  readonly onStep: (step: string, detail: string) => void;
}

/** How long the API of a host that was in its cluster before lets the routes go first. */
const API_PATIENCE_MS = 1_000;

/** A running daemon. */
export interface Daemon extends AsyncDisposable {
  readonly service: Service;
  /** Resolves when the daemon has left its cluster and is to end. */
  readonly retired: Promise<void>;
}

/**
 * The composition root: every driver is chosen here, from the outside in. What was opened is
 * closed in the opposite order, also when a later step fails; a host that got no identity is then
 * left as it was.
 *
 * @throws `STORE_LOCKED`, `PORT_IN_USE`, `PERMISSION_DENIED`, and what entering refuses
 */
export async function startDaemon(options: StartOptions): Promise<Daemon> {
  const { settings, logger } = options;
  const { stateDir } = settings;
  requireNetworkRights();
  const stack = new AsyncDisposableStack();
  try {
    const libc = await openLibc();
    const found = openStateDir(stateDir);
    // Only who has the lock may tidy up: the files may be another daemon's.
    stack.use(lockDirectory(stateDir, libc));
    const identity = new IdentityFolder(join(stateDir, "identity"));
    let hasRetired = false;
    stack.defer(async () => {
      if (!hasRetired) return leaveAsFound(found);
      await identity.wipe();
      leaveNothing(found);
    });
    const clock = systemClock({ bootMs: () => libc.bootMs() });
    const random = systemRandom();
    const isNew = await identity.read("node") === undefined;
    // The database reads its files while this thread loads code.
    const place = storeFolder(join(stateDir, "store"));
    const { way } = options;
    const rejoin = way.kind === "rejoin" && way.token === undefined
      ? { servers: way.addresses }
      : undefined;
    const store = isNew || way.kind === "rejoin" ? undefined : place.open();
    // Whoever needs it hears of a failure; until then it is nobody's.
    store?.catch(() => {});
    stack.defer(async () => await (await store?.catch(() => undefined))?.[Symbol.asyncDispose]());
    const kernel = stack.use(await LinuxKernel.open());
    const packetFilter = stack.use(new LinuxPacketFilter());
    const foreign = stack.use(new ForeignBackends({ dir: settings.backendsDir, clock }));
    const backends = new BackendRegistry(options.backends, foreign);
    const programs = new HostPrograms(new AllowList(settings.commandsAllow), clock);
    const preparation = new Preparation({ programs, clock });

    const running: { node: Node | undefined } = { node: undefined };
    const retirement = Promise.withResolvers<void>();
    const service = new NodeService({
      node: () => running.node,
      backends,
      ...{ hostName: options.name, version: settings.version, clock, random },
      retire: () => {
        hasRetired = true;
        retirement.resolve();
      },
    });
    const api = async () => {
      await openApi(stack, { service, clock, logger }, settings);
      const face = { source: etcdSource(() => running.node), clock, logger: logger.child("etcd") };
      if (settings.etcd !== undefined) await openEtcd(stack, settings.etcd, face);
    };
    // Whoever waits for this host to get in can ask why it takes so long.
    if (isNew) await api();
    const reach = await enterCluster({
      ...options,
      ...{ identity, place, kernel, backends, preparation, clock, random },
    });
    running.node = stack.use(
      await Node.start({
        ...{ settings, identity, kernel, packetFilter, backends, clock, random, logger },
        ...{ programs, preparation },
        ...{ transport: tlsTransport, bootId: bootId() },
        subnetFile: subnetFileOf(settings),
        ...{ place, signal: options.signal },
        ...(reach === undefined ? {} : { reach }),
        ...(store === undefined ? {} : { store }),
        ...(rejoin === undefined ? {} : { rejoin }),
      }),
    );
    if (!isNew) {
      await routed(running.node, clock);
      await api();
    }
    return {
      service,
      retired: retirement.promise,
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

function subnetFileOf({ subnetFile, cniConflist }: Settings): SubnetFile {
  const file = subnetFileAt(subnetFile);
  return cniConflist === undefined ? file : withConflist(file, cniConflist);
}

/**
 * Containers wait for the subnet file, and nobody yet for the API, whose packages take as long to
 * load as all of the rest: so it comes second. Not for ever: it also says what is in the way.
 */
async function routed(node: Node, clock: Clock): Promise<void> {
  const stop = new AbortController();
  await Promise.race([node.data.settled, sleep(clock, API_PATIENCE_MS, stop.signal)]);
  stop.abort();
}

async function openApi(
  stack: AsyncDisposableStack,
  parts: { readonly service: Service; readonly clock: Clock; readonly logger: Logger },
  settings: Settings,
): Promise<void> {
  const [{ createApi }, { listenOnPort, listenOnSocket }] = await Promise.all([
    import("../api/app.ts"),
    import("../api/listen.ts"),
  ]);
  const logger = parts.logger.child("api");
  const all = createApi({ ...parts, logger, rights: "all" });
  const read = createApi({ ...parts, logger, rights: "read" });
  stack.use(await listenOnSocket(all, settings.socketPath));
  if (settings.readSocketPath !== undefined) {
    stack.use(await listenOnSocket(read, settings.readSocketPath));
  }
  if (settings.apiPort !== undefined) {
    stack.use(await listenOnPort(read, "127.0.0.1", settings.apiPort));
  }
}
