/** What `denim backend new` writes: a backend that works, to be made into another one. */

/** File names and their texts. */
export function skeletonOf(name: string): Readonly<Record<string, string>> {
  return { "mod.ts": modOf(name), "mod.test.ts": testOf(name), "README.md": readmeOf(name) };
}

const modOf = (name: string) =>
  `import {
  containsAddress,
  defineBackend,
  DenimError,
  formatAddress,
  type Host,
  type Json,
  ofFamily,
  type Peer,
  type Prefix,
} from "denim/backend";

/** What this backend makes of its part of the network config. */
interface Config {
  /** Bytes that each packet grows by on its way. */
  readonly overhead: number;
}

export const backend = defineBackend<Config, null>({
  contract: 1,
  name: "${name}",

  parseConfig(json: Json) {
    const { Overhead = 0 } = (json ?? {}) as { readonly Overhead?: unknown };
    const isFit = typeof Overhead === "number" && Number.isInteger(Overhead);
    if (isFit && Overhead >= 0 && Overhead < 500) return { overhead: Overhead };
    throw new DenimError("CONFIG_INVALID", "Overhead has to be a number of bytes below 500", {
      why: \`it is \${JSON.stringify(Overhead)}\`,
      fix: '"Backend": {"Type": "${name}", "Overhead": 50}',
    });
  },

  // What a node publishes is what its peers read. This backend has nothing to tell.
  parseData: () => null,
  publish: (host, { overhead }) => ({ data: null, mtu: host.link.mtu - overhead }),

  // Everything that should stand in the kernel, whatever stood there before.
  plan: ({ host, peers }) =>
    peers.flatMap((peer) => peer.subnets.map((subnet) => routeTo(subnet, peer, host))),
});

/** By the peer's address, where that is on the link; else nobody would be there. */
function routeTo(destination: Prefix, { node, publicIps }: Peer<null>, { link, onLink }: Host) {
  const via = ofFamily(publicIps, destination.family);
  if (via !== undefined && onLink.some((block) => containsAddress(block, via))) {
    return { kind: "route" as const, destination, via, device: link.name };
  }
  const where = via === undefined ? \`no IPv\${destination.family} address\` : formatAddress(via);
  const why = \`\${node} has \${where}: that is not on the link \${link.name}\`;
  return { kind: "left-out" as const, destination, why };
}
`;

const testOf = (name: string) =>
  `/** Run by \`denim backend test\`, after the contract. */
import assert from "node:assert/strict";
import { formatPlan, parseAddress, parsePrefix } from "denim/backend";
import { backend } from "./mod.ts";

const host = {
  link: { name: "eth0", index: 2, mtu: 1500 },
  addresses: [
    { family: 4 as const, address: parseAddress("192.0.2.1"), publicIp: parseAddress("192.0.2.1") },
  ],
  onLink: [parsePrefix("192.0.2.0/24")],
  secret: new Uint8Array(32),
};

const node = (name: string, address: string, subnet: string) => ({
  node: name,
  publicIps: [parseAddress(address)],
  subnets: [parsePrefix(subnet)],
  data: null,
});

async function planOf(...peers: ReturnType<typeof node>[]): Promise<string[]> {
  const scene = {
    network: parsePrefix("10.244.0.0/16"),
    host,
    config: backend.parseConfig({ Type: "${name}" }),
    own: node("web1", "192.0.2.1", "10.244.1.0/24"),
    peers,
  };
  return formatPlan(await backend.plan(scene));
}

export const tests = {
  async "a peer's subnet is routed by its address"() {
    assert.deepEqual(await planOf(node("web2", "192.0.2.2", "10.244.2.0/24")), [
      "route 10.244.2.0/24 via 192.0.2.2 dev eth0",
    ]);
  },

  async "a peer beyond a router is left out, with the reason"() {
    assert.deepEqual(await planOf(node("web3", "198.51.100.3", "10.244.3.0/24")), [
      "left out 10.244.3.0/24: web3 has 198.51.100.3: that is not on the link eth0",
    ]);
  },

  async "containers get an MTU that leaves room"() {
    const config = backend.parseConfig({ Type: "${name}", Overhead: 50 });
    assert.equal((await backend.publish(host, config)).mtu, 1450);
  },
};
`;

const readmeOf = (name: string) =>
  `# ${name}

**What it does.** Every node gets one route per peer: the peer's subnet, by the peer's address, on
the data interface.

**Config.** \`Overhead\`: bytes that each packet grows by on its way; 0 where nothing is said.

**What it publishes.** Nothing: a peer's address is all that the others need.

**Kernel state.** Per peer and address family, in the main table:

\`\`\`text
ip route add 10.244.2.0/24 via 192.0.2.2 dev eth0 proto 68
\`\`\`

**Example.** \`denim backend test\` tries what is shown here:

\`\`\`json
{ "Network": "10.244.0.0/16", "Backend": { "Type": "${name}", "Overhead": 50 } }
\`\`\`

**Limits.** All nodes share one link. A peer that is not on it is left out: \`denim route\` says so.
`;
