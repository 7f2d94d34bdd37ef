import { createHmac } from "node:crypto";
import type { Backend, Host, Json } from "../../backend/backend.ts";
import type { BackendRegistry } from "../../backend/registry.ts";
import { fromHex } from "../../base/bytes.ts";
import { DenimError } from "../../base/errors.ts";
import {
  chooseInterface,
  type ChosenInterface,
  type InterfaceWish,
} from "../../host/interfaces.ts";
import { type Address, type Family, formatAddress, tryParseAddress } from "../../ip/address.ts";
import { type NetworkConfig, parseNetworkConfig } from "../../lease/network.ts";
import { BACKEND_DATA_MAX, type LeaseAttributes } from "../../lease/records.ts";
import type { KernelState } from "../../plan/kernel.ts";
import { formatEndpoint } from "../../transport/address.ts";
import type { Settings } from "../settings.ts";
import { type Preparation, type PreparationCall, unprepared } from "./preparation.ts";

/** What this host gives to the network. */
export interface Place {
  readonly backend: Backend;
  readonly host: Host;
  /** What the backend tells the peers. */
  readonly data: Json;
  /** MTU of the containers' links, bytes. */
  readonly mtu: number;
  /** The rule by which the interface was chosen. */
  readonly why: string;
}

export interface PlaceOptions {
  readonly kernel: KernelState;
  readonly backends: BackendRegistry;
  readonly wish: InterfaceWish;
  /** The node's seed for its backends' secrets, hex. */
  readonly seed: string;
  /** The network config's text. */
  readonly network: string;
  /** @default whoever has programs run is refused */
  readonly preparation?: Preparation | undefined;
  /** Gives up waiting for what the backend has run. */
  readonly signal?: AbortSignal;
}

/**
 * Finds the data interface and asks the network's backend whether this host can take part.
 *
 * @throws `INTERFACE_NOT_FOUND`, `CONFIG_INVALID`
 */
export async function findPlace(options: PlaceOptions): Promise<Place> {
  const config = parseNetworkConfig(options.network, { unknownKeys: "keep" });
  const found = chooseInterface(options.kernel, options.wish, { families: familiesOf(config) });
  return await placeAt(found, config, options);
}

/** Those of the network, IPv4 first: a host that enters it has an address in each. */
export function familiesOf({ pools }: NetworkConfig): readonly Family[] {
  return pools.map(({ network }) => network.family);
}

/**
 * Asks the network's backend about an interface.
 *
 * @throws `CONFIG_INVALID`; `PERMISSION_DENIED` `COMMAND_FAILED` where it has programs run
 */
export async function placeAt(
  { link, addresses, onLink, why }: ChosenInterface,
  config: NetworkConfig,
  { backends, seed, preparation, ...call }:
    & Pick<PlaceOptions, "backends" | "seed" | "preparation">
    & PreparationCall,
): Promise<Place> {
  const backend = backends.get(config.backendType);
  const secret = createHmac("sha256", fromHex(seed)).update(backend.name).digest();
  const { name, index, mtu: linkMtu } = link;
  const host: Host = { link: { name, index, mtu: linkMtu }, addresses, onLink, secret };
  const settings = backend.parseConfig(JSON.parse(config.backendOptions) as Json);
  const printed = await (preparation ?? unprepared).printed(backend, host, settings, call);
  const known = printed === undefined ? host : { ...host, printed };
  const { data, mtu } = await backend.publish(known, settings);
  const length = JSON.stringify(data).length;
  if (length > BACKEND_DATA_MAX) {
    throw new DenimError("CONFIG_INVALID", `The backend "${backend.name}" publishes too much`, {
      why: `${length} characters of JSON; every other host keeps up to ${BACKEND_DATA_MAX} of them`,
      fix: "have it, or the program whose output it publishes, say less",
    });
  }
  return { backend, host, data, mtu: config.mtu ?? mtu, why };
}

/** What peers send to, IPv4 first. */
export function publicIpsOf({ host }: Place): readonly [Address, ...Address[]] {
  const [first, ...more] = host.addresses.map(({ publicIp }) => publicIp);
  return [first!, ...more];
}

/** What programs of this host may depend on; not that the MTU is another. */
export function nameOfPlace(place: Place): string {
  const { name, index } = place.host.link;
  return JSON.stringify([name, index, attributesOf(place)]);
}

/** What peers are told of this host. */
export function attributesOf(place: Place): LeaseAttributes {
  const [publicIp, publicIpv6] = publicIpsOf(place);
  return {
    publicIp: formatAddress(publicIp),
    ...(publicIpv6 === undefined ? {} : { publicIpv6: formatAddress(publicIpv6) }),
    backendType: place.backend.name,
    backendData: JSON.stringify(place.data),
  };
}

/** Where others are told to connect to: what was said, else where this node listens. */
export function advertised({ advertise, listen }: Settings, publicIp: Address): string {
  if (advertise !== undefined) return advertise;
  const isOne = !/^[0:.]+$/.test(listen.host) && tryParseAddress(listen.host) !== undefined;
  return formatEndpoint({ host: isOne ? listen.host : formatAddress(publicIp), port: listen.port });
}

/** What the operator said about the data interface, and an address that it has to reach. */
export function wishOf(settings: Settings, reach: Address | undefined): InterfaceWish {
  const { iface, ifaceRegex, ifaceCanReach, publicIp, publicIpv6 } = settings;
  const publicIps = [publicIp, publicIpv6].filter((address) => address !== undefined);
  return {
    ...(iface === undefined ? {} : { iface }),
    ...(ifaceRegex === undefined ? {} : { ifaceRegex }),
    ...(ifaceCanReach === undefined ? {} : { canReach: ifaceCanReach }),
    ...(publicIps.length === 0 ? {} : { publicIps }),
    ...(reach === undefined ? {} : { reach }),
  };
}
