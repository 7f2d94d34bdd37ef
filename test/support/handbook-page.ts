/** The facts of the handbook's page on flannel, by its headings, and a walk that sets ours beside. */

export const CONFIG = '{"Network":"172.33.0.0/16","SubnetLen":24,"Backend":{"Type":"host-gw"}}';
export const PREFIX = "/kube-centos/network";

/** `/etc/sysconfig/flanneld`, but for Denim's own line: who is on the control network. */
export function sysconfig(control: string): string {
  return [
    'FLANNEL_ETCD_ENDPOINTS="http://172.17.8.101:2379"',
    `FLANNEL_ETCD_PREFIX="${PREFIX}"`,
    'FLANNEL_OPTIONS="-iface=eth2"',
    `DENIM_ADVERTISE="${control}:7470"`,
    "",
  ].join("\n");
}

/** `/run/flannel/subnet.env` on node1. */
export const SUBNET_ENV = `FLANNEL_NETWORK=172.33.0.0/16
FLANNEL_SUBNET=172.33.68.1/24
FLANNEL_MTU=1500
FLANNEL_IPMASQ=false
`;

/** `/run/flannel/docker` on node1. The script begins the last value with a blank; the page has none. */
export const DOCKER_OPTIONS = `DOCKER_OPT_BIP="--bip=172.33.68.1/24"
DOCKER_OPT_IPMASQ="--ip-masq=true"
DOCKER_OPT_MTU="--mtu=1500"
DOCKER_NETWORK_OPTIONS=" --bip=172.33.68.1/24 --ip-masq=true --mtu=1500"
`;

/** Where the page's pods are, two of them on the second and on the third node. */
export const PODS = ["172.33.68.2", "172.33.31.2", "172.33.31.3", "172.33.96.2", "172.33.96.3"];

/** Node1's routing table as `ip route` has it; the page leaves out the route to the second node. */
export const ROUTES = [
  "default via 10.0.2.2 dev eth0 metric 100",
  "default via 172.30.116.1 dev eth2 metric 101",
  "10.0.2.0/24 dev eth0",
  "172.17.8.0/24 dev eth1",
  "172.30.112.0/21 dev eth2",
  "172.33.31.0/24 via 172.30.117.82 dev eth2",
  "172.33.68.0/24 dev docker0",
  "172.33.96.0/24 via 172.30.118.65 dev eth2",
];

/** The way from node1 to the container 172.33.96.3. */
export const TRACE = ["172.30.118.65", "172.33.96.3"];

/** Prints what the page has under a heading, and what was seen here. */
export function show(heading: string, page: readonly string[], here: readonly string[]): void {
  const lines = (side: string, texts: readonly string[]) =>
    texts.map((text, i) => `#   ${i === 0 ? side : "    "}  ${text}`);
  console.log([`# ${heading}`, ...lines("page", page), ...lines("here", here)].join("\n"));
}
