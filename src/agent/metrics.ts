import type { Gauge, Registry } from "prom-client";
import type { Node } from "./node.ts";
import { statusOf } from "./views.ts";

/** The first dozen figures, taken when somebody asks. */
export class Metrics {
  readonly #version: string;
  #made: { readonly registry: Registry; readonly gauge: (name: string) => Gauge } | undefined;

  constructor(version: string) {
    this.#version = version;
  }

  async text(node: Node | undefined): Promise<string> {
    const { registry, gauge } = this.#made ??= await make();
    registry.resetMetrics();
    gauge("denim_build_info").set({ version: this.#version }, 1);
    if (node !== undefined) this.#fill(node, gauge);
    return await registry.metrics();
  }

  #fill(node: Node, gauge: (name: string) => Gauge): void {
    const { ready, lease, dataPlane, cluster } = statusOf(node, this.#version);
    gauge("denim_ready").set(ready ? 1 : 0);
    gauge("denim_lease_held").set(lease.state === "held" ? 1 : 0);
    gauge("denim_lease_trusted_seconds").set(lease.trustedForMs / 1_000);
    for (const [state, count] of Object.entries(dataPlane.routes)) {
      gauge("denim_routes").set({ state }, count);
    }
    const pass = node.data.lastPass;
    if (pass !== undefined) gauge("denim_reconcile_seconds").set(pass.passMs / 1_000);
    if (cluster !== null) {
      gauge("denim_revision").set(cluster.revision);
      gauge("denim_nodes").set(cluster.nodes);
      gauge("denim_nodes_silent").set(cluster.silent);
      if (cluster.leaderAgeMs !== null) {
        gauge("denim_leader_age_seconds").set(cluster.leaderAgeMs / 1_000);
      }
    }
    const raft = node.control.replica?.status();
    if (raft === undefined) return;
    gauge("denim_raft_term").set(raft.term);
    gauge("denim_raft_is_leader").set(raft.role === "leader" ? 1 : 0);
    gauge("denim_raft_commit_index").set(raft.commit);
    gauge("denim_raft_applied_index").set(raft.applied);
    gauge("denim_followers").set(node.control.followers);
    for (const { id, match } of raft.progress) {
      gauge("denim_follower_lag_entries").set({ raft_id: String(id) }, raft.lastIndex - match);
    }
  }
}

const FIGURES: Readonly<Record<string, readonly [string, ...string[]]>> = {
  denim_build_info: ["What runs here", "version"],
  denim_ready: ["1 when containers can be started on this host"],
  denim_lease_held: ["1 while the own lease can be relied on"],
  denim_lease_trusted_seconds: ["For how long it can be, without another word of the cluster"],
  denim_routes: ["Routes of this node by how they stand", "state"],
  denim_reconcile_seconds: ["Duration of the last pass over the kernel's routes"],
  denim_revision: ["Revision of this node's copy of the state"],
  denim_nodes: ["Nodes in the cluster"],
  denim_nodes_silent: ["Nodes that nobody has heard of for a while"],
  denim_leader_age_seconds: ["How long ago a leader stood behind this node's copy"],
  denim_raft_term: ["Raft term"],
  denim_raft_is_leader: ["1 on the leader"],
  denim_raft_commit_index: ["Last committed entry"],
  denim_raft_applied_index: ["Last applied entry"],
  denim_followers: ["Nodes and clients that follow this server's events"],
  denim_follower_lag_entries: ["On the leader: entries that a member lacks", "raft_id"],
};

/** Loaded at the first scrape: a daemon that nobody scrapes does not pay for it. */
async function make() {
  const prometheus = await import("prom-client");
  const registry = new prometheus.Registry();
  const gauges = new Map<string, Gauge>();
  for (const [name, [help, ...labelNames]] of Object.entries(FIGURES)) {
    gauges.set(name, new prometheus.Gauge({ name, help, labelNames, registers: [registry] }));
  }
  return { registry, gauge: (name: string) => gauges.get(name)! };
}
