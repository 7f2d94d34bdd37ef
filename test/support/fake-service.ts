import type { Service, StatusView, TokenRequest } from "../../src/api/service.ts";
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
    nodes: 2,
    silent: 0,
    hold: null,
  },
  role: "leader",
  lease: { state: "held", subnets: ["10.5.1.0/24"], trustedForMs: 86_000_000, why: null },
  dataPlane: {
    backend: "host-gw",
    link: "eth0",
    publicIp: "192.168.0.0",
    mtu: 1500,
    subnetFile: "/run/flannel/subnet.env",
    mode: "full",
    routes: { ok: 1 },
  },
  ready: true,
  checks: [{ name: "lease", ok: true }, { name: "routes", ok: true }],
};

/** What the fake would have given away, were it asked for: never to be seen. */
export const SECRET = "denim1_" + "s".repeat(71);

/** A node's answers, out of a cluster in memory of host 0 and host 1. */
export class FakeService implements Service {
  readonly cluster = new MemoryCluster(new FakeClock());
  readonly calls: string[] = [];
  view: StatusView = STATUS;
  networkRevision = 4;

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

  leases = (consistency: string) => {
    this.calls.push(`leases ${consistency}`);
    return Promise.resolve([0, 1].map((n) => ({
      subnet: `10.5.${n + 1}.0/24`,
      subnets: [`10.5.${n + 1}.0/24`],
      node: `id${n}`,
      nodeName: `host${n}`,
      publicIp: `192.168.0.${n}`,
      backendType: "host-gw",
      backendData: null,
      revision: 3 + n,
      expiresInMs: 3_600_000,
    })));
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
      subnets: [`10.5.${n + 1}.0/24`],
      silent: n === 1,
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
    const route = { destination: "10.5.2.0/24", via: "192.168.0.1", device, state, error: "why" };
    return Promise.resolve([route]);
  };

  removeNode = (node: string) => {
    this.calls.push(`remove ${node}`);
    return Promise.resolve({ id: node, name: `name of ${node}` });
  };

  raft = () => ({ member: true, term: 3 });

  tokens = () => [
    { id: "abcd1234", role: "server" as const, usesLeft: null, expires: "2030-01-01", name: null },
  ];

  createToken = (request: TokenRequest) => {
    this.calls.push(`token ${JSON.stringify(request)}`);
    const { role } = request;
    const servers = ["192.168.0.0:7470"];
    return Promise.resolve({ token: SECRET, id: "abcd1234", role, expires: "2030-01-01", servers });
  };

  revokeToken = (id: string) => {
    this.calls.push(`revoke ${id}`);
    return Promise.resolve();
  };

  releaseHold = () => {
    this.calls.push("release hold");
    return Promise.resolve({ claimed: 2, unclaimed: 1 });
  };

  leave = () => {
    this.calls.push("leave");
    return Promise.resolve({ subnets: ["10.5.1.0/24"] });
  };

  follow = (from: Position | undefined, signal: AbortSignal) => this.cluster.follow(from, signal);

  position = () => this.cluster.view().position;
  staleMs = () => this.cluster.view().leaderAgeMs;

  metrics = () => Promise.resolve("denim_ready 1\n");
}
