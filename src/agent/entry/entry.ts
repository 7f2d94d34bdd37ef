import { createServer } from "node:net";
import * as v from "valibot";
import type { BackendRegistry } from "../../backend/registry.ts";
import { hex } from "../../base/bytes.ts";
import { type Clock, sleep } from "../../base/clock.ts";
import { asDenimError, DenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import { readFileIfAny } from "../../host/files.ts";
import { checkOverlap, publicRangeWarning } from "../../host/overlap.ts";
import { type Address, tryParseAddress } from "../../ip/address.ts";
import { formatPrefix, parsePrefix, type Prefix, tryParsePrefix } from "../../ip/prefix.ts";
import { parseNetworkConfig, withExplicitBackend } from "../../lease/network.ts";
import type { Kernel, KernelRoute } from "../../plan/kernel.ts";
import type { IdentityFolder } from "../../store/identity.ts";
import type { NodeRecord } from "../../store/identity-schema.ts";
import type { StorePlace } from "../../store/place.ts";
import { parseEndpoint } from "../../transport/address.ts";
import { answers } from "../../transport/knock.ts";
import { formerAddress } from "../assemble.ts";
import { nameSchema } from "../control/border.ts";
import {
  advertised,
  attributesOf,
  findPlace,
  type Place,
  publicIpsOf,
  wishOf,
} from "../data/place.ts";
import type { Preparation } from "../data/preparation.ts";
import type { Settings } from "../settings.ts";

/** How a host without an identity gets one. A host that has one uses that, whatever is said here. */
export type Way =
  /** A new cluster, with this network config. */
  | { readonly kind: "found"; readonly network: string }
  /** Into an existing one. */
  | {
    readonly kind: "join";
    readonly addresses: readonly string[];
    readonly token: () => Promise<string>;
    readonly replace: string | undefined;
    /** Until it works, for hosts that nobody watches; else once. */
    readonly keepTrying: boolean;
  }
  /**
   * A member comes back with an empty store, by leave of one of these servers: by its certificate,
   * or, where that does not speak for it any more, by a token.
   */
  | {
    readonly kind: "rejoin";
    readonly addresses: readonly string[];
    readonly token?: string;
  }
  /** Nothing was asked for: the host waits, and never forms a cluster by itself. */
  | { readonly kind: "wait" };

export interface EntryOptions {
  readonly settings: Settings;
  readonly name: string;
  readonly way: Way;
  readonly identity: IdentityFolder;
  readonly place: StorePlace;
  readonly kernel: Kernel;
  readonly backends: BackendRegistry;
  readonly preparation?: Preparation | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly onStep: (step: string, detail: string) => void;
}

const JOIN_RETRY_MS = 5_000;

/**
 * Sees to it that this host has an identity. What it takes to make one is loaded for that alone: it
 * would double every other start. Resolves with an address that the data interface has to reach,
 * where one is known.
 *
 * @throws what founding or joining refuses, with the host as it was; `CANCELLED`
 */
export async function enterCluster(options: EntryOptions): Promise<Address | undefined> {
  const { identity, way, settings, logger, signal, clock } = options;
  const record = await identity.read("node");
  if (record !== undefined) {
    if (way.kind === "rejoin" && way.token !== undefined) {
      await comeBack(options, record, way.addresses, way.token);
    }
    const members = (await identity.read("servers"))?.members ?? [];
    const known = members.find(({ nodeId }) => nodeId !== record.nodeId);
    return await reachOf(settings.seeds[0] ?? known?.addresses[0]);
  }
  await checkPort(settings.listen);
  checkName(options.name);
  switch (way.kind) {
    case "found":
      await found(options, way.network);
      return undefined;
    case "join":
      return await joinUntilIn(options, way);
    case "rejoin":
      throw new DenimError("NOT_FOUND", "This host is in no cluster that it could come back to", {
        why: `there is no ${identity.path}`,
        fix: "join as a new node: denim join HOST",
      });
    case "wait":
      logger.warn("this host is in no cluster yet, and waits", {
        fix: "stop this daemon and type denim join HOST, or run it with --join and --token-file",
      });
      while (!signal.aborted) await sleep(clock, 3_600_000, signal);
      throw cancelled();
    default:
      return way satisfies never;
  }
}

/** @throws `PORT_IN_USE`, before anything was made that could not listen there */
async function checkPort({ host, port }: Settings["listen"]): Promise<void> {
  if (port === 0) return;
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const inUse = cause.code === "EADDRINUSE";
      reject(
        new DenimError(
          inUse ? "PORT_IN_USE" : "PERMISSION_DENIED",
          `Cannot listen on ${host} port ${port}`,
          {
            why: inUse ? "another program listens there" : cause.message,
            fix: `find it with: ss -ltnp 'sport = :${port}', or choose another with --listen`,
            cause,
          },
        ),
      );
    });
    server.listen(port, host, () => server.close(() => resolve()));
  });
}

/** @throws `CONFIG_INVALID` on what no cluster would take */
function checkName(name: string): void {
  const result = v.safeParse(nameSchema, name);
  if (result.success) return;
  throw new DenimError("CONFIG_INVALID", `"${name}" is no name for a node`, {
    why: result.issues[0].message,
    fix: "give it another: --name NAME",
  });
}

async function found(options: EntryOptions, network: string): Promise<void> {
  const { kernel, settings, identity, random, clock, name, onStep } = options;
  const config = withExplicitBackend(network);
  const { foundCluster, refuseLeftovers } = await import("./founding.ts");
  // What is typed here has no room for a typo; what others have typed is kept.
  const { pools } = parseNetworkConfig(config, { unknownKeys: "refuse" });
  const { place, seed } = await checkHost(options, config, undefined);
  refuseLeftovers(await kernel.read(), pools.map(({ network }) => network));
  await refuseLiveSeeds(settings.seeds);
  onStep("checked", `containers of this host go through ${place.host.link.name}`);
  await identity.write("secret", { seed });
  const aside = await setStoreAside(options);
  try {
    await foundCluster({
      ...{ identity, network: config, name, clock, random },
      ...{ version: settings.version, zone: settings.zone },
      openStore: options.place.open,
      address: advertised(settings, publicIpsOf(place)[0]),
      attributes: attributesOf(place),
    });
  } catch (error) {
    await options.place.putBack(aside);
    throw error;
  }
  onStep("founded", "a cluster of this host alone");
}

/** A seed that answers is a cluster, and this host belongs to that one. */
async function refuseLiveSeeds(seeds: readonly string[]): Promise<void> {
  for (const seed of seeds) {
    if (!await answers(seed)) continue;
    throw new DenimError("CLUSTER_EXISTS", `${seed} answers: there is a cluster already`, {
      why: "a second one over the same subnets would cut containers off",
      fix: `denim join ${seed}`,
    });
  }
}

async function joinUntilIn(
  options: EntryOptions,
  way: Extract<Way, { kind: "join" }>,
): Promise<Address | undefined> {
  const { clock, logger, signal } = options;
  let last = "";
  for (;;) {
    try {
      return await joinOnce(options, way);
    } catch (error) {
      const failure = asDenimError(error);
      if (signal.aborted) throw cancelled();
      if (!way.keepTrying) throw failure;
      const { code, message, why } = failure;
      if (last !== message) {
        logger.warn("cannot join yet, and goes on trying", { code, message, why });
      }
      last = message;
      await sleep(clock, JOIN_RETRY_MS, signal);
      if (signal.aborted) throw cancelled();
    }
  }
}

async function joinOnce(
  options: EntryOptions,
  way: Extract<Way, { kind: "join" }>,
): Promise<Address | undefined> {
  const { settings, identity, name, clock, random, signal, onStep } = options;
  let secret = "";
  let reach: Address | undefined;
  const { joinCluster } = await import("./joining.ts");
  await joinCluster({
    ...{ identity, name, clock, random, signal, onStep },
    openStore: async () => {
      await setStoreAside(options);
      return await options.place.open();
    },
    addresses: way.addresses,
    token: await way.token(),
    version: settings.version,
    wish: await formerSubnets(settings.subnetFile),
    replace: way.replace,
    zone: settings.zone,
    prepare: async (offer, server) => {
      reach = await reachOf(server);
      const { place, seed } = await checkHost(options, offer.network, reach);
      secret = seed;
      const address = advertised(settings, publicIpsOf(place)[0]);
      return { attributes: attributesOf(place), address };
    },
  });
  await identity.write("secret", { seed: secret });
  return reach;
}

async function comeBack(
  options: EntryOptions,
  record: NodeRecord,
  addresses: readonly string[],
  token: string,
): Promise<void> {
  const { settings, identity } = options;
  const { returnByToken } = await import("./returning.ts");
  await returnByToken({
    ...options,
    ...{ record, addresses, token, version: settings.version },
    address: formerAddress(settings, record, await identity.read("servers")),
  });
}

interface Checked {
  readonly place: Place;
  readonly seed: string;
}

/** Whether the network fits this host. @throws `NETWORK_OVERLAP` `INTERFACE_NOT_FOUND` */
async function checkHost(
  options: EntryOptions,
  network: string,
  reach: Address | undefined,
): Promise<Checked> {
  const { kernel, backends, settings, identity, random, logger, preparation, signal } = options;
  const state = await kernel.read();
  const own = (await formerSubnets(settings.subnetFile)).map(parsePrefix);
  const { pools, warnings } = parseNetworkConfig(network, { unknownKeys: "keep" });
  for (const pool of pools) {
    refuseOverlap(pool.network, state.routes, own, options);
    const warning = publicRangeWarning(pool.network);
    if (warning !== undefined) logger.warn(warning);
  }
  for (const warning of warnings) logger.warn(warning);
  const seed = (await identity.read("secret"))?.seed ?? hex(random.bytes(32));
  const place = await findPlace({
    kernel: state,
    ...{ backends, preparation, signal },
    wish: wishOf(settings, reach),
    seed,
    network,
  });
  return { place, seed };
}

/** @throws `NETWORK_OVERLAP` unless somebody said that it is meant */
function refuseOverlap(
  network: Prefix,
  routes: readonly KernelRoute[],
  own: readonly Prefix[],
  { settings, logger }: EntryOptions,
): void {
  try {
    checkOverlap(network, routes, { own });
  } catch (error) {
    if (!settings.allowOverlap) throw error;
    const { message, why } = asDenimError(error);
    logger.warn(message, { why });
  }
}

/** A store without an identity is of no use here, and may be all that somebody has left of it. */
async function setStoreAside({ place, clock, logger }: EntryOptions): Promise<string | undefined> {
  const path = await place.setAside(clock.wallMs());
  if (path !== undefined) logger.warn("a store without an identity was set aside", { path });
  return path;
}

/** The subnets that this host had, as its subnet file says: what a joiner would like again. */
async function formerSubnets(subnetFile: string): Promise<string[]> {
  const bytes = await readFileIfAny(subnetFile);
  const text = bytes === undefined ? "" : new TextDecoder().decode(bytes);
  return [...text.matchAll(/^FLANNEL_(?:IPV6_)?SUBNET=(\S+)$/gm)].flatMap((match) => {
    const subnet = tryParsePrefix(match[1]!);
    return subnet === undefined ? [] : [formatPrefix(subnet)];
  });
}

/** The IP address behind `host:port`; `undefined` where there is none, or none to look up. */
async function reachOf(endpoint: string | undefined): Promise<Address | undefined> {
  if (endpoint === undefined) return undefined;
  const { host } = parseEndpoint(endpoint);
  const literal = tryParseAddress(host);
  if (literal !== undefined) return literal;
  try {
    const { lookup } = await import("node:dns/promises");
    const found = await lookup(host, { all: true });
    return tryParseAddress((found.find(({ family }) => family === 4) ?? found[0]!).address);
  } catch {
    return undefined;
  }
}

function cancelled(): DenimError {
  return new DenimError("CANCELLED", "Stopped before this host was in a cluster");
}
