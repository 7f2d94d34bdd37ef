import type { BackendRegistry } from "../backend/registry.ts";
import { hex } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { assert, DenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { SubnetFile } from "../host/subnet-file.ts";
import type { Address, Family } from "../ip/address.ts";
import { requireLevelOf } from "../lease/feature-level.ts";
import type { Holding } from "../lease/holding.ts";
import type { Incarnation } from "../lease/records.ts";
import type { Programs } from "../plan/hook.ts";
import type { Kernel } from "../plan/kernel.ts";
import type { PacketFilter } from "../plan/packet-filter.ts";
import type { IdentityFolder } from "../store/identity.ts";
import type { NodeRecord, ServersRecord } from "../store/identity-schema.ts";
import type { StorePlace } from "../store/place.ts";
import type { Store } from "../store/store.ts";
import { formatEndpoint } from "../transport/address.ts";
import type { Credentials } from "../transport/credentials.ts";
import type { Transport } from "../transport/transport.ts";
import { ControlPlane } from "./control/control-plane.ts";
import { DataPlane } from "./data/data-plane.ts";
import { PacketRules, type WantedRules } from "./data/packet-rules.ts";
import type { Preparation } from "./data/preparation.ts";
import type { LeaseStanding } from "./leasing.ts";
import { wishOf } from "./data/place.ts";
import { openOwnStore, rejoinByHand, type RejoiningParts } from "./entry/rejoining.ts";
import type { Settings } from "./settings.ts";
import { noteStart } from "./entry/starts.ts";

/** What a node is made of: the drivers of its ports, and how it was told to run. */
export interface NodeParts {
  readonly settings: Settings;
  readonly identity: IdentityFolder;
  readonly kernel: Kernel;
  readonly packetFilter: PacketFilter;
  readonly backends: BackendRegistry;
  /** @default none, and whatever wants one is refused */
  readonly programs?: Programs;
  /** What was run before this node was in its cluster need not be run again. */
  readonly preparation?: Preparation;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Address that the data interface has to reach where nothing else was said. */
  readonly reach?: Address;
  readonly place: StorePlace;
  /** The store, where somebody has begun to open it; the node's from here on. */
  readonly store?: Promise<Store>;
  /** By an operator's word the store is set aside, and these servers are asked for leave. */
  readonly rejoin?: { readonly servers: readonly string[] };
  /** Gives up a start that has to wait for others. */
  readonly signal?: AbortSignal;
  readonly transport: (credentials: Credentials) => Transport;
  readonly subnetFile: SubnetFile;
  /** Names the boot that this process runs in. */
  readonly bootId: string;
  /** Makes this host forward packets. @default the kernel's switch */
  readonly forward?: (family: Family) => { readonly wasOff: boolean };
}

/** A node's parts, put together. */
export interface Made {
  readonly record: NodeRecord;
  readonly store: Store;
  readonly incarnation: Incarnation;
  readonly holding: Holding | undefined;
  readonly seeds: readonly string[];
  readonly control: (ownRoutes: () => unknown, isDiskLow: () => boolean) => ControlPlane;
  readonly data: (
    control: ControlPlane,
    standing: () => LeaseStanding,
    onAttributes: (hasMoved: boolean) => void,
    masquerades: () => Promise<boolean>,
  ) => DataPlane;
  readonly rules: (wanted: () => WantedRules | undefined) => PacketRules;
}

/**
 * Reads who this node is, notes that it starts, and puts its two planes together.
 *
 * @throws `STORE_DAMAGED`; `UPGRADE_NEEDED` where the state is of a level that it cannot read
 */
export async function assemble(
  parts: NodeParts,
  onStore: (store: Store) => void,
): Promise<Made> {
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
      fix: "put the files back, or come back by a token: denim rejoin HOST --with-token",
    });
  }
  if (await identity.read("secret") === undefined) {
    await identity.write("secret", { seed: hex(random.bytes(32)) });
  }
  const credentials = { caBundle, cert, key };
  const { nodeId, clusterId, role } = record;
  const remembered = (servers?.members ?? []).filter((member) => member.nodeId !== nodeId)
    .flatMap(({ addresses }) => addresses);
  const seeds = settings.seeds.length > 0 ? settings.seeds : servers?.seeds ?? [];
  const transport = parts.transport(credentials);
  const store = await openStore(parts, {
    ...{ record, transport, servers: [...remembered, ...seeds] },
    address: formerAddress(settings, record, servers),
  });
  onStore(store);
  requireLevelOf(store.loaded.records);
  const { incarnation, starts } = await noteStart(store, nodeId, random);
  return {
    ...{ record, store, incarnation, seeds, holding: lease },
    control: (ownRoutes, isDiskLow) =>
      new ControlPlane({
        ...{ nodeId, clusterId, role, incarnation, starts, store, clock, random, logger },
        ...{ version: settings.version, listen: settings.listen, profile: settings.profile },
        ...(settings.retention === undefined ? {} : { retention: settings.retention }),
        ...{ credentials, transport, identity },
        beacons: { self: nodeId, remembered, seeds },
        ...{ ownRoutes, isDiskLow },
      }),
    data: (control, standing, onAttributes, masquerades) =>
      new DataPlane({
        ...{ nodeId, kernel, backends, identity, clock, logger, standing },
        ...{ programs: parts.programs, preparation: parts.preparation },
        cluster: control.cluster,
        wish: wishOf(settings, parts.reach),
        subnetFile: parts.subnetFile,
        acceptExpiredLease: settings.acceptExpiredLease,
        ...{ onAttributes, masquerades },
      }),
    rules: (wanted) =>
      new PacketRules({
        ...{ filter: parts.packetFilter, clock, log: logger.child("rules"), wanted },
      }),
  };
}

function openStore(
  parts: NodeParts,
  more: Pick<RejoiningParts, "record" | "transport" | "servers" | "address">,
): Promise<Store> {
  const { identity, place, settings, clock, random, logger, rejoin, signal } = parts;
  const rejoining = {
    ...{ identity, place, clock, random, logger },
    version: settings.version,
    ...more,
    ...(signal === undefined ? {} : { signal }),
  };
  if (rejoin === undefined) return openOwnStore(parts.store ?? place.open(), rejoining);
  return rejoinByHand({ ...rejoining, servers: [...rejoin.servers, ...more.servers] });
}

/** Where others may have found this node; it tells them anew once it knows for certain. */
export function formerAddress(
  { advertise, listen }: Settings,
  { nodeId, name }: NodeRecord,
  servers: ServersRecord | undefined,
): string {
  const own = servers?.members.find((member) => member.nodeId === nodeId)?.addresses[0];
  return advertise ?? own ?? formatEndpoint({ host: name, port: listen.port });
}
