import { hex } from "../../src/base/bytes.ts";
import { canonical } from "../../src/base/canonical.ts";
import type { Cluster } from "../../src/lease/cluster.ts";
import type { JoinAnswer, Joiner } from "../../src/lease/command.ts";
import { FEATURES } from "../../src/lease/feature-level.ts";
import type { Role } from "../../src/lease/records.ts";
import { bootstrap } from "../../src/replica/bootstrap.ts";
import type { KeyPair } from "../../src/transport/pki.ts";
import { Host } from "./host.ts";
import { Network } from "./network.ts";
import type { World } from "./world.ts";

export const CLUSTER_ID = "00112233445566778899aabbccddeeff";
export const TOKEN_ID = "sim";
const CERTIFICATE_MS = 90 * 86_400_000;

/** Hosts on one network, and what an operator does with them. */
export class SimCluster {
  readonly world: World;
  readonly network: Network;
  readonly hosts: Host[] = [];
  readonly #ca: KeyPair;
  readonly leaseTtlMs: number;
  #joined = 0;

  constructor(world: World, ca: KeyPair) {
    this.world = world;
    this.network = new Network(world);
    this.#ca = ca;
    this.leaseTtlMs = world.pick([10_000, 20_000, 60_000])!;
  }

  addHost(): Host {
    const host = new Host(this.network, this.hosts.length + 1);
    this.hosts.push(host);
    return host;
  }

  get up(): Host[] {
    return this.hosts.filter((host) => host.node !== undefined);
  }

  /** `denim init` on a host: it is a cluster of one, and not running yet. */
  async found(host: Host): Promise<void> {
    const node = this.#joiner(host, "server");
    const epoch = { n: 1, random: hex(this.world.random.bytes(8)) };
    await using store = await host.offline.openStore();
    const wallMs = Math.floor(host.wallMs);
    const answer = await bootstrap(store, { elapsedMs: 0, wallMs }, {
      kind: "cluster.init",
      ...{ clusterId: CLUSTER_ID, name: "sim", epoch, config: this.#config, node },
    });
    await this.#giveIdentity(host, node, answer);
  }

  /**
   * `denim join` on a host, by way of some member. The host is in, and not running yet, when it
   * resolves.
   *
   * @throws what the cluster answers
   */
  async join(
    host: Host,
    role: Role,
    by: Cluster,
    more: Pick<Joiner, "ephemeral" | "zone"> = {},
  ): Promise<void> {
    const node = { ...this.#joiner(host, role), ...more };
    const command = { kind: "node.join", tokenId: TOKEN_ID, node } as const;
    const answer = await by.propose(command) as unknown as JoinAnswer;
    await this.#giveIdentity(host, node, answer);
    const { raftId } = answer;
    await using store = await host.offline.openStore();
    await store.write({
      format: {
        schema: 1,
        ...{ clusterId: CLUSTER_ID, epoch: answer.lease.epoch, storeId: node.storeId },
        ...(raftId === null ? {} : { raftId }),
      },
    });
  }

  /** The token that lets everybody in. */
  async openDoor(by: Cluster): Promise<void> {
    await by.propose({
      kind: "token.create",
      ...{ tokenId: TOKEN_ID, secretHash: "0".repeat(64), role: "server", uses: null },
      expiresWallMs: Number.MAX_SAFE_INTEGER,
    });
  }

  /** Few subnets, so that they are used again: 10.244.0.0/24 to 10.244.11.0/24. */
  get #config(): string {
    return canonical({
      Network: "10.244.0.0/16",
      SubnetMin: "10.244.0.0",
      SubnetMax: "10.244.11.0",
      LeaseTTL: `${this.leaseTtlMs / 1000}s`,
      Backend: { Type: "host-gw" },
    });
  }

  #joiner(host: Host, role: Role): Joiner {
    const number = ++this.#joined;
    return {
      nodeId: `n${number}`,
      ...{ name: host.name, role, address: host.address, version: "0.1.0" },
      csrKey: `key${number}`,
      storeId: `store${number}`,
      certificateEndsWallMs: Math.floor(host.wallMs) + CERTIFICATE_MS,
      features: FEATURES,
      attributes: { publicIp: host.ip, backendType: "host-gw", backendData: "null" },
    };
  }

  async #giveIdentity(host: Host, node: Joiner, answer: JoinAnswer): Promise<void> {
    const { identity } = host.offline;
    const { nodeId, role } = node;
    const { name, lease: { epoch } } = answer;
    const wallMs = Math.floor(host.wallMs);
    await identity.writePem("key", this.#ca.keyPem);
    await identity.writePem("cert", this.#ca.certPem);
    await identity.writePem("ca", this.#ca.certPem);
    if (answer.raftId === 1) await identity.writePem("caKey", this.#ca.keyPem);
    const seeds = this.hosts.filter((other) => other !== host && other.isMember)
      .map(({ address }) => address);
    await identity.write("servers", { members: [], seeds });
    const record = { nodeId, name, clusterId: CLUSTER_ID, epoch, role, createdAtMs: wallMs };
    await identity.write("node", record);
    host.identity = {
      ...{ clusterId: CLUSTER_ID, nodeId, canServe: role === "server" },
      notAfterMs: wallMs + CERTIFICATE_MS,
    };
  }
}
