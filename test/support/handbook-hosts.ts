/**
 * Three hosts as on the handbook's page: a NAT network with the same address everywhere and the
 * best default route, a control network, and a data network by DHCP with the second best. Their
 * control and data addresses differ, and nothing but the network tells them apart.
 */
import type { Host } from "../../src/cli/lab/host.ts";
import { ipBatch } from "../../src/cli/lab/ip.ts";
import type { Lab } from "../../src/cli/lab/lab.ts";

export interface HandbookHost {
  readonly host: Host;
  /** On eth1. */
  readonly control: string;
  /** On eth2. */
  readonly data: string;
  /** That the page shows for it. */
  readonly subnet: string;
}

/** The data addresses of the first and the third, and all subnets, are the page's own. */
const HOSTS = [
  { name: "node1", control: "172.17.8.101", data: "172.30.113.231", subnet: "172.33.68.0/24" },
  { name: "node2", control: "172.17.8.102", data: "172.30.117.82", subnet: "172.33.31.0/24" },
  { name: "node3", control: "172.17.8.103", data: "172.30.118.65", subnet: "172.33.96.0/24" },
];
/** How long the page's addresses of DHCP have left, seconds. */
const LEFT_S = 85_095;

export async function addHandbookHosts(lab: Lab): Promise<readonly HandbookHost[]> {
  for (const name of ["control", "data"]) await lab.addSwitch(name);
  const hosts: HandbookHost[] = [];
  for (const { name, control, data, subnet } of HOSTS) {
    const host = await lab.addBareHost(name, [data]);
    await lab.addSwitch(`nat-${name}`);
    await lab.lay(host, "eth0", `nat-${name}`);
    await lab.lay(host, "eth1", "control");
    await lab.lay(host, "eth2", "data");
    const leased = `valid_lft ${LEFT_S} preferred_lft ${LEFT_S}`;
    await ipBatch([
      `addr add 10.0.2.15/24 brd + dev eth0 ${leased}`,
      `addr add ${control}/24 brd + dev eth1`,
      `addr add ${data}/21 brd + dev eth2 ${leased}`,
      ...["eth0", "eth1", "eth2"].map((device) => `link set ${device} up`),
      "route add default via 10.0.2.2 dev eth0 metric 100",
      "route add default via 172.30.116.1 dev eth2 metric 101",
    ], host.namespace);
    hosts.push({ host, control, data, subnet });
  }
  return hosts;
}
