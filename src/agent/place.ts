import { createHmac } from "node:crypto";
import type { Backend, Host, Json } from "../backend/backend.ts";
import type { BackendRegistry } from "../backend/registry.ts";
import { fromHex } from "../base/bytes.ts";
import { chooseInterface, type InterfaceWish } from "../host/interfaces.ts";
import { type Address, formatAddress, tryParseAddress } from "../ip/address.ts";
import { parseNetworkConfig } from "../lease/network.ts";
import type { LeaseAttributes } from "../lease/records.ts";
import type { KernelState } from "../plan/kernel.ts";
import { formatEndpoint } from "../transport/address.ts";
import type { Settings } from "./settings.ts";

/** What this host gives to the network. */
export interface Place {
  readonly backend: Backend;
  readonly host: Host;
  /** What the backend tells the peers. */
  readonly data: Json;
  /** MTU of the containers' links, bytes. */
  readonly mtu: number;
}

export interface PlaceOptions {
  readonly kernel: KernelState;
  readonly backends: BackendRegistry;
  readonly wish: InterfaceWish;
  /** The node's seed for its backends' secrets, hex. */
  readonly seed: string;
  /** The network config's text. */
  readonly network: string;
}

/**
 * Finds the data interface and asks the network's backend whether this host can take part.
 *
 * @throws `INTERFACE_NOT_FOUND`, `CONFIG_INVALID`
 */
export async function findPlace(options: PlaceOptions): Promise<Place> {
  const config = parseNetworkConfig(options.network, { unknownKeys: "keep" });
  const backend = options.backends.get(config.backendType);
  const { link, address, addressLength, publicIp } = chooseInterface(options.kernel, options.wish);
  const secret = createHmac("sha256", fromHex(options.seed)).update(backend.name).digest();
  const host: Host = { link, address, addressLength, publicIp, secret };
  const settings = backend.parseConfig(JSON.parse(config.backendOptions) as Json);
  const { data, mtu } = await backend.publish(host, settings);
  return { backend, host, data, mtu: config.mtu ?? mtu };
}

/** What peers are told of this host. */
export function attributesOf({ backend, host, data }: Place): LeaseAttributes {
  return {
    publicIp: formatAddress(host.publicIp),
    backendType: backend.name,
    backendData: JSON.stringify(data),
  };
}

/** Where others are told to connect to: what was said, else where this node listens. */
export function advertised({ advertise, listen }: Settings, publicIp: Address): string {
  if (advertise !== undefined) return advertise;
  const isOne = !/^[0:.]+$/.test(listen.host) && tryParseAddress(listen.host) !== undefined;
  return formatEndpoint({ host: isOne ? listen.host : formatAddress(publicIp), port: listen.port });
}

/** What the operator said about the data interface, and an address that it has to reach. */
export function wishOf({ iface, publicIp }: Settings, reach: Address | undefined): InterfaceWish {
  return {
    ...(iface === undefined ? {} : { iface }),
    ...(publicIp === undefined ? {} : { publicIp }),
    ...(reach === undefined ? {} : { reach }),
  };
}
