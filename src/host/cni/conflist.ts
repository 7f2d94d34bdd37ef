import { formatPrefix, parsePrefix } from "../../ip/prefix.ts";
import { parseSubnetEnv, type SubnetEnvRead } from "../../lease/subnet-env.ts";

/** By this text in it a conflist is known as Denim's; CNI passes over keys that it does not know. */
export const CONFLIST_MARK = "written by Denim out of subnet.env";

/** Since this one a network can be checked, and everything that is in use knows it. */
const CNI_VERSION = "0.4.0";

/**
 * A finished network configuration list (https://www.cni.dev/docs/spec/) out of the text of
 * subnet.env: container runtimes need nothing of Denim to use it. Denim masquerades, or nobody
 * does: the bridge plugin would hide containers from those of other hosts, too.
 *
 * @throws `CONFIG_INVALID` for a text that is no subnet.env
 */
export function renderConflist(subnetEnv: string): string {
  const env = parseSubnetEnv(subnetEnv);
  const bridge = {
    type: "bridge",
    bridge: "cni0",
    ...(env.mtu === undefined ? {} : { mtu: env.mtu }),
    isGateway: true,
    isDefaultGateway: true,
    hairpinMode: true,
    ipMasq: false,
    ipam: { type: "host-local", ranges: rangesOf(env) },
  };
  const portmap = { type: "portmap", capabilities: { portMappings: true } };
  const list = {
    cniVersion: CNI_VERSION,
    name: "denim",
    denim: `${CONFLIST_MARK}; denim uninstall removes it`,
    plugins: [bridge, portmap],
  };
  return `${JSON.stringify(list, null, 2)}\n`;
}

/** What host-local gives addresses from: one range of each family. */
export function rangesOf({ gateway, gatewayV6 }: SubnetEnvRead): { subnet: string }[][] {
  return [gateway, gatewayV6].filter((block) => block !== undefined)
    .map((block) => [{ subnet: formatPrefix(parsePrefix(block)) }]);
}
