import { DenimError } from "../base/errors.ts";
import { type Family, formatAddress } from "../ip/address.ts";
import { firstHost, formatPrefix, type Prefix, tryParsePrefix } from "../ip/prefix.ts";

/** What the container runtimes of this host need to know. */
export interface SubnetEnv {
  /** Networks and this host's subnets, IPv4 first, in the same order. */
  readonly networks: readonly Prefix[];
  readonly subnets: readonly Prefix[];
  readonly mtu: number;
  readonly ipMasq: boolean;
}

/**
 * `/run/flannel/subnet.env`, byte for byte as flannel writes it (`pkg/subnet/subnet.go`): the
 * subnet is given by its first host, which is what a bridge takes as its address.
 */
export function renderSubnetEnv(env: SubnetEnv): string {
  const lines = env.networks.flatMap((network, i) => {
    const subnet = env.subnets[i]!;
    const name = network.family === 4 ? "FLANNEL_" : "FLANNEL_IPV6_";
    return [
      `${name}NETWORK=${formatPrefix(network)}`,
      `${name}SUBNET=${formatAddress(firstHost(subnet))}/${subnet.length}`,
    ];
  });
  return [...lines, `FLANNEL_MTU=${env.mtu}`, `FLANNEL_IPMASQ=${env.ipMasq}`, ""].join("\n");
}

/** What a subnet.env says, of Denim or of flannel; a line that is missing is `undefined`. */
export interface SubnetEnvRead {
  /** The bridge's address in this family, with the subnet's length: `10.244.3.1/24`. */
  readonly gateway: string | undefined;
  readonly gatewayV6: string | undefined;
  readonly network: string | undefined;
  readonly networkV6: string | undefined;
  readonly mtu: number | undefined;
  readonly ipMasq: boolean | undefined;
}

/**
 * Reads the assignments of a subnet.env, as a shell would that sources it: the last one of a name
 * counts, quotes around a value go.
 *
 * @throws `CONFIG_INVALID` for a value that no runtime could use, or when there is no subnet at all
 */
export function parseSubnetEnv(text: string): SubnetEnvRead {
  const values = new Map(
    [...text.matchAll(/^[ \t]*(?:export[ \t]+)?(FLANNEL_\w+)=(.*)$/gm)]
      .map(([, name, value]) => [name!, unquoted(value!.trim())]),
  );
  const block = (name: string, family: Family) => {
    const value = values.get(name);
    if (value === undefined || value === "") return undefined;
    if (tryParsePrefix(value)?.family === family) return value;
    throw unusable(name, value, `it must be an address with a length, of IPv${family}`);
  };
  const env = {
    gateway: block("FLANNEL_SUBNET", 4),
    gatewayV6: block("FLANNEL_IPV6_SUBNET", 6),
    network: block("FLANNEL_NETWORK", 4),
    networkV6: block("FLANNEL_IPV6_NETWORK", 6),
    mtu: readMtu(values.get("FLANNEL_MTU")),
    ipMasq: readIpMasq(values.get("FLANNEL_IPMASQ")),
  };
  if (env.gateway !== undefined || env.gatewayV6 !== undefined) return env;
  throw new DenimError("CONFIG_INVALID", "There is no subnet in it", {
    why: "neither FLANNEL_SUBNET nor FLANNEL_IPV6_SUBNET has a value",
  });
}

function readMtu(value: string | undefined): number | undefined {
  if (value === undefined || value === "") return undefined;
  if (/^[1-9][0-9]{0,5}$/.test(value)) return Number(value);
  throw unusable("FLANNEL_MTU", value, "it must be a number of bytes");
}

function readIpMasq(value: string | undefined): boolean | undefined {
  if (value === undefined || value === "") return undefined;
  if (value === "true" || value === "false") return value === "true";
  throw unusable("FLANNEL_IPMASQ", value, "it must be true or false");
}

/** In the words of flannel's script. */
function unusable(name: string, value: string, why: string): DenimError {
  return new DenimError("CONFIG_INVALID", `Invalid value of ${name}: ${value}`, { why });
}

function unquoted(value: string): string {
  return /^"[^"]*"$|^'[^']*'$/.test(value) ? value.slice(1, -1) : value;
}
