import { formatAddress } from "../../ip/address.ts";
import { formatPrefix } from "../../ip/prefix.ts";
import type { SubnetEnvRead } from "../../lease/subnet-env.ts";
import { blocksOf, type Form } from "./recipe.ts";

/** A CNI network for jobs that ask for it by its name, made by the reference plugins. */
export function nomadCni(env: SubnetEnvRead): Form {
  return {
    name: "cni",
    title: "a CNI network, for jobs that name it",
    steps: [
      {
        file: "/opt/cni/config/denim.conflist",
        text: `${JSON.stringify(conflist(env), null, 2)}\n`,
      },
      { file: "in a job's group", text: 'network {\n  mode = "cni/denim"\n}\n' },
    ],
    notes: [
      "Nomad reads the folder when its client starts: restart it after the first time",
      "the plugins bridge, host-local, loopback and portmap are looked for in /opt/cni/bin",
      "allocations that run keep their addresses; if this host's subnet changes, do it again",
    ],
  };
}

/**
 * As for flannel's plugin, who masquerades is the opposite of subnet.env's
 * (https://www.cni.dev/plugins/current/main/bridge/).
 */
function conflist(env: SubnetEnvRead): object {
  const blocks = blocksOf(env);
  return {
    cniVersion: "0.4.0",
    name: "denim",
    plugins: [
      { type: "loopback" },
      {
        type: "bridge",
        bridge: "nomad-denim",
        isGateway: true,
        hairpinMode: true,
        ipMasq: env.ipMasq === false,
        ...(env.mtu === undefined ? {} : { mtu: env.mtu }),
        ipam: {
          type: "host-local",
          ranges: blocks.map(({ subnet, gateway }) => [
            { subnet: formatPrefix(subnet), gateway: formatAddress(gateway) },
          ]),
          routes: blocks.map(({ family }) => ({ dst: family === 4 ? "0.0.0.0/0" : "::/0" })),
        },
      },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
    ],
  };
}
