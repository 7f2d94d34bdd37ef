import { formatAddress } from "../ip/address.ts";
import { firstHost, formatPrefix, type Prefix } from "../ip/prefix.ts";

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
