import type { Host } from "../../src/cli/lab/host.ts";
import { ipBatch } from "../../src/cli/lab/ip.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";

/**
 * A host on another link than those of `lab.addHost`: 198.51.100.N, with a router in between, which
 * knows nothing of the containers' network.
 */
export async function addFarHost(lab: Lab, name: string, number: number): Promise<Host> {
  const host = await lab.addBareHost(name, [`198.51.100.${number}`]);
  await lab.lay(host, "eth0", FAR);
  await ipBatch([
    "link set eth0 up",
    `address add 198.51.100.${number}/24 dev eth0`,
    "route add default via 198.51.100.254",
  ], host.namespace);
  return host;
}

/** It has the address of the gateway that every host of the lab has. */
export async function addRouter(lab: Lab): Promise<Host> {
  await lab.addSwitch(FAR);
  const router = await lab.addBareHost("router", ["192.0.2.254"]);
  await lab.lay(router, "eth0");
  await lab.lay(router, "eth1", FAR);
  await ipBatch([
    ...["link set eth0 up", "address add 192.0.2.254/24 dev eth0"],
    ...["link set eth1 up", "address add 198.51.100.254/24 dev eth1"],
  ], router.namespace);
  return router;
}

const FAR = "far";
