import type {
  CaView,
  LevelView,
  Service,
  StatusView,
  TokenRequest,
} from "../../src/api/service.ts";
import { DenimError } from "../../src/base/errors.ts";
import type { Position } from "../../src/lease/cluster.ts";
import { FakeClock } from "./clock.ts";
import { joiner } from "./ledger.ts";
import { MemoryCluster } from "./memory-cluster.ts";

export const STATUS: StatusView = {
  node: { id: "id0", name: "host0", version: "0.1.0" },
  cluster: {
    id: "00112233445566778899aabbccddeeff",
    name: "amber-arch",
    epoch: { n: 1, random: "00000000000000aa" },
    revision: 7,
    leader: "host0",
    leaderAgeMs: 120,
    quorum: null,
    nodes: 2,
    silent: 0,
    hold: null,
  },
  role: "leader",
  zone: "rack1",
  lease: { state: "held", subnets: ["10.5.1.0/24"], trustedForMs: 86_000_000, why: null },
  dataPlane: {
    backend: "host-gw",
    link: "eth0",
    linkWhy: "by the default route",
    publicIp: "192.168.0.0",
    publicIpv6: null,
    mtu: 1500,
    subnetFile: "/run/flannel/subnet.env",
    mode: "full",
    routes: { ok: 1 },
    tunnel: {},
    rules: [{
      ...{ kind: "masquerade", network: "10.5.0.0/16", tool: "nftables" },
      ...{ from: null, error: null },
    }],
  },
  certificate: { expires: "2027-01-01T00:00:00.000Z", renews: "2026-11-20T00:00:00.000Z" },
  ready: true,
  checks: [{ name: "lease", ok: true }, { name: "routes", ok: true }],
};

/** What the fake would have given away, were it asked for: never to be seen. */
export const SECRET = "denim1_" + "s".repeat(71);

/** A node's answers, out of a cluster in memory of host 0 and host 1. */
export class FakeService implements Service {
  readonly cluster = new MemoryCluster(new FakeClock());
  readonly calls: string[] = [];
  readonly #followed = Promise.withResolvers<void>();
  view: StatusView = STATUS;
  networkRevision = 4;
  backupText = "no backup\n";

  /** Resolves when somebody follows: what is applied from then on is an event. */
  get followed(): Promise<void> {
    return this.#followed.promise;
  }

  constructor() {
    this.cluster.apply({ kind: "node.join", tokenId: "open", node: joiner(1) });
  }

  status = () => this.view;

  network = (consistency: string) => {
    this.calls.push(`network ${consistency}`);
    const config = '{"Network":"10.5.0.0/16","Backend":{"Type":"host-gw"}}';
    return Promise.resolve({ config, revision: this.networkRevision, warnings: ["careful"] });
  };

  setNetwork = (config: string, ifRevision: number | undefined) => {
    this.calls.push(`set ${config} ${ifRevision}`);
    if (ifRevision !== undefined && ifRevision !== this.networkRevision) {
      return Promise.reject(new DenimError("REVISION_MISMATCH", "It has changed", { fix: "look" }));
    }
    this.networkRevision++;
    return Promise.resolve({ config, revision: this.networkRevision, warnings: [] });
  };

  ca = (): CaView => ({
    signer: { id: "aa".repeat(20), expires: "2036-11-26T00:00:00.000Z" },
    cas: [{ id: "aa".repeat(20), expires: "2036-11-26T00:00:00.000Z" }],
    rotation: null,
    ...{ nodes: 2, tokens: 1 },
  });

  rotateCa = (request: { readonly leaveSilent: boolean }) => {
    this.calls.push(`rotate ${request.leaveSilent}`);
    return Promise.resolve(this.ca());
  };

  leases = (consistency: string) => {
    this.calls.push(`leases ${consistency}`);
    return Promise.resolve([0, 1].map((n) => ({
      subnet: `10.5.${n + 1}.0/24`,
      subnets: [`10.5.${n + 1}.0/24`],
      node: `id${n}`,
      nodeName: `host${n}`,
      publicIp: `192.168.0.${n}`,
      publicIpv6: null,
      backendType: "host-gw",
      backendData: null,
      revision: 3 + n,
      reserved: n === 1,
      expiresInMs: 3_600_000,
    })));
  };

  reservations = () =>
    Promise.resolve([
      { subnet: "10.5.2.0/24", nodeName: "host1", token: null, leased: true, moving: false },
      { subnet: "10.5.7.0/24", nodeName: null, token: "abcd1234", leased: false, moving: false },
      { subnet: "10.5.8.0/24", nodeName: "host0", token: null, leased: false, moving: true },
      { subnet: "10.5.9.0/24", nodeName: null, token: null, leased: false, moving: false },
    ]);

  reserve = (subnet: string, nodeName: string | undefined) => {
    this.calls.push(`reserve ${subnet} ${nodeName}`);
    return Promise.resolve({ subnet });
  };

  release = (subnet: string) => {
    this.calls.push(`release ${subnet}`);
    return Promise.resolve({ subnet });
  };

  moveLease = (node: string, subnet: string) => {
    this.calls.push(`move ${node} ${subnet}`);
    return Promise.resolve({ node: "id1", name: node, subnet, from: ["10.5.2.0/24"] });
  };

  nodes = (consistency: string) => {
    this.calls.push(`nodes ${consistency}`);
    return Promise.resolve([0, 1].map((n) => ({
      id: `id${n}`,
      name: `host${n}`,
      role: n === 0 ? "leader" as const : "agent" as const,
      eligible: "server" as const,
      raftId: n === 0 ? 1 : null,
      address: `192.168.0.${n}:7470`,
      publicIp: `192.168.0.${n}`,
      publicIpv6: null,
      subnets: [`10.5.${n + 1}.0/24`],
      silent: n === 1,
      zone: n === 0 ? "rack1" : null,
      preferred: null,
      version: "0.1.0",
      self: n === 0,
    })));
  };

  routes = (node: string) => {
    this.calls.push(`routes ${node}`);
    if (node === "far") {
      return Promise.reject(new DenimError("PEER_UNREACHABLE", "far is not connected"));
    }
    const [device, state] = ["eth0", "failed"];
    const [destination, via] = ["10.5.2.0/24", "192.168.0.1"];
    const wanted = `${destination} via ${via} dev ${device}`;
    const route = {
      kind: "route",
      about: destination,
      via,
      device,
      state,
      wanted,
      programmed: null,
      error: "why",
    };
    return Promise.resolve([route]);
  };

  removeNode = (node: string, force = false) => {
    this.calls.push(`remove ${node}${force ? " by force" : ""}`);
    return Promise.resolve({ id: node, name: `name of ${node}`, wasServer: force });
  };

  preferNode = async (node: string, preferred: "voter" | "standby" | null) => {
    this.calls.push(`prefer ${node} ${preferred}`);
    return { ...(await this.nodes("stale"))[1]!, preferred };
  };

  setVoters = (voters: number) => {
    this.calls.push(`voters ${voters}`);
    return Promise.resolve({ voters });
  };

  levels = (): Promise<LevelView> => {
    const behind = [{ name: "host1", version: "0.1.0", features: { min: 1, max: 2 } }];
    return Promise.resolve({ level: 1, supported: 2, newest: 3, behind });
  };

  finalizeUpgrade = () => {
    this.calls.push("finalize");
    return Promise.resolve({ level: 3, supported: 3, newest: 3, behind: [] });
  };

  raft = () => ({ member: true, term: 3 });

  tokens = () => [
    {
      ...{ id: "abcd1234", role: "server" as const, usesLeft: null, expires: "2030-01-01" },
      ...{ name: null, from: ["192.0.2.0/24"], subnet: null, ephemeral: true },
      state: "usable" as const,
    },
  ];

  createToken = (request: TokenRequest) => {
    this.calls.push(`token ${JSON.stringify(request)}`);
    const { role } = request;
    const servers = ["192.168.0.0:7470"];
    const [expires, node] = ["2030-01-01", request.node ?? null];
    return Promise.resolve({ token: SECRET, id: "abcd1234", role, node, expires, servers });
  };

  revokeToken = (id: string) => {
    this.calls.push(`revoke ${id}`);
    return Promise.resolve();
  };

  releaseHold = () => {
    this.calls.push("release hold");
    return Promise.resolve({ claimed: 2, unclaimed: 1 });
  };

  backup = (passphrase: string | undefined) => {
    this.calls.push(`backup ${passphrase}`);
    return Promise.resolve(this.backupText);
  };

  stays: readonly string[] = [];
  leave = (keepLease = false) => {
    this.calls.push(keepLease ? "leave, keeping" : "leave");
    return Promise.resolve({ subnets: ["10.5.1.0/24"], stays: this.stays });
  };

  follow = (from: Position | undefined, signal: AbortSignal) => {
    this.#followed.resolve();
    return this.cluster.follow(from, signal);
  };

  position = () => this.cluster.view().position;
  staleMs = () => this.cluster.view().leaderAgeMs;

  metrics = () => Promise.resolve("denim_ready 1\n");
}
