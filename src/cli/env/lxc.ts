import { formatAddress } from "../../ip/address.ts";
import { formatPrefix, lastValue, type Prefix, sizeOf } from "../../ip/prefix.ts";
import type { SubnetEnvRead } from "../../lease/subnet-env.ts";
import { type Block, blocksOf, command, type Form } from "./recipe.ts";

/**
 * LXC's own bridge, by the file that its service reads. `LXC_NETWORK` is only where lxc-net ends to
 * masquerade, so the whole flat network stands there: hosts then see each other's containers.
 */
export function lxcNet(env: SubnetEnvRead): Form {
  const lines = blocksOf(env).flatMap((block) =>
    block.family === 4 ? v4Lines(block) : v6Lines(block, env.ipMasq === false)
  );
  const text = ['USE_LXC_BRIDGE="true"', ...lines, ""].join("\n");
  const mtu = env.mtu === undefined ? [] : [`lxc.net.0.mtu = ${env.mtu}`];
  return {
    name: "lxc-net",
    title: "lxcbr0 in the subnet, with lxc-net's DHCP",
    steps: [
      { file: "/etc/default/lxc-net", text },
      {
        file: "/etc/lxc/default.conf, or a container's config",
        text: [
          "lxc.net.0.type = veth",
          "lxc.net.0.link = lxcbr0",
          "lxc.net.0.flags = up",
          ...mtu,
          "",
        ]
          .join("\n"),
      },
      { run: "systemctl restart lxc-net" },
    ],
    notes: [
      "lxcbr0 gets another address: stop the containers on it first, and start them again",
      "lxc-net masquerades what leaves the flat network, whether Denim does or not",
      "if this host's subnet changes, do it again",
    ],
  };
}

function v4Lines({ subnet, gateway, network = subnet }: Block): string[] {
  const [first, last] = [gateway.value + 1n, lastValue(subnet) - 1n];
  const range = [first, last].map((value) => formatAddress({ family: 4, value })).join(",");
  return [
    `LXC_ADDR="${formatAddress(gateway)}"`,
    `LXC_NETMASK="${netmask(subnet)}"`,
    `LXC_NETWORK="${formatPrefix(network)}"`,
    `LXC_DHCP_RANGE="${range}"`,
    `LXC_DHCP_MAX="${last - first + 1n}"`,
  ];
}

function v6Lines({ subnet, gateway, network = subnet }: Block, masquerades: boolean): string[] {
  return [
    `LXC_IPV6_ADDR="${formatAddress(gateway)}"`,
    `LXC_IPV6_MASK="${subnet.length}"`,
    `LXC_IPV6_NETWORK="${formatPrefix(network)}"`,
    `LXC_IPV6_NAT="${masquerades}"`,
  ];
}

function netmask(subnet: Prefix): string {
  return formatAddress({ family: 4, value: (1n << 32n) - sizeOf(subnet) });
}

/** The same for Incus, and for LXD with its own command. */
export function incusNetwork(env: SubnetEnvRead): Form {
  const keys = blocksOf(env).flatMap(({ family, gateway, subnet }) => [
    `ipv${family}.address=${formatAddress(gateway)}/${subnet.length}`,
    `ipv${family}.nat=${env.ipMasq === false}`,
  ]);
  const families = keys.length === 2
    ? [`ipv${keys[0]!.startsWith("ipv4") ? 6 : 4}.address=none`]
    : [];
  const mtu = env.mtu === undefined ? [] : [`bridge.mtu=${env.mtu}`];
  return {
    name: "incus",
    title: "a network of its own in Incus; in LXD the command is lxc",
    steps: [
      { run: command("incus network create denim", ...keys, ...families, ...mtu) },
      { run: "incus launch IMAGE --network denim" },
    ],
    notes: ["nothing restarts; other networks and instances stay as they are"],
  };
}
