import type { Gauge } from "prom-client";
import type { Node } from "./node.ts";
import { statusOf } from "./views.ts";

type SetFigure = (name: string, value: number, labels?: Readonly<Record<string, string>>) => void;

/** The first dozen figures, taken when somebody asks. What is not known is left out. */
export class Metrics {
  readonly #version: string;

  constructor(version: string) {
    this.#version = version;
  }

  /** The library is loaded at the first scrape: who is not scraped does not pay for it. */
  async text(node: Node | undefined): Promise<string> {
    const { Gauge, Registry } = await import("prom-client");
    const registry = new Registry();
    const gauges = new Map<string, Gauge>();
    const set: SetFigure = (name, value, labels = {}) => {
      const [help, ...labelNames] = FIGURES[name]!;
      const gauge = gauges.get(name) ??
        new Gauge({ name, help, labelNames, registers: [registry] });
      gauges.set(name, gauge);
      gauge.set(labels, value);
    };
    set("denim_build_info", 1, { version: this.#version });
    if (node !== undefined) this.#fill(node, set);
    return await registry.metrics();
  }

  #fill(node: Node, set: SetFigure): void {
    const { ready, lease, dataPlane, cluster } = statusOf(node, this.#version);
    set("denim_ready", ready ? 1 : 0);
    set("denim_lease_held", lease.state === "held" ? 1 : 0);
    set("denim_lease_trusted_seconds", lease.trustedForMs / 1_000);
    for (const [state, count] of Object.entries(dataPlane.routes)) {
      set("denim_routes", count, { state });
    }
    for (const [state, count] of Object.entries(dataPlane.tunnel)) {
      set("denim_tunnel_objects", count, { state });
    }
    const pass = node.data.lastPass;
    if (pass !== undefined) set("denim_reconcile_seconds", pass.passMs / 1_000);
    if (cluster !== null) {
      set("denim_revision", cluster.revision);
      set("denim_nodes", cluster.nodes);
      set("denim_nodes_silent", cluster.silent);
      set("denim_on_hold", cluster.hold === null ? 0 : 1);
      if (cluster.leaderAgeMs !== null) {
        set("denim_leader_age_seconds", cluster.leaderAgeMs / 1_000);
      }
    }
    const term = node.control.trust.term;
    if (term !== undefined) set("denim_certificate_expires_timestamp_seconds", term.endsMs / 1_000);
    const { room, isLow } = node.disk;
    if (room !== undefined) set("denim_disk_free_bytes", room.freeBytes);
    set("denim_disk_low", isLow ? 1 : 0);
    const { epochs } = node.control;
    const forked = epochs.fork !== undefined || (cluster?.hold?.fork ?? null) !== null;
    set("denim_fork_seen", forked ? 1 : 0);
    const raft = node.control.replica?.status();
    if (raft === undefined) return;
    set("denim_raft_term", raft.term);
    set("denim_raft_is_leader", raft.role === "leader" ? 1 : 0);
    set("denim_raft_commit_index", raft.commit);
    set("denim_raft_applied_index", raft.applied);
    set("denim_followers", node.control.followers);
    for (const { id, match } of raft.progress) {
      set("denim_follower_lag_entries", raft.lastIndex - match, { raft_id: String(id) });
    }
  }
}

const FIGURES: Readonly<Record<string, readonly [string, ...string[]]>> = {
  denim_build_info: ["What runs here", "version"],
  denim_ready: ["1 when containers can be started on this host"],
  denim_lease_held: ["1 while the own lease can be relied on"],
  denim_lease_trusted_seconds: ["For how long it can be, without another word of the cluster"],
  denim_routes: ["Routes of this node by how they stand", "state"],
  denim_tunnel_objects: ["Links of Denim's, and what is on them, by how they stand", "state"],
  denim_reconcile_seconds: ["Duration of the last pass over the kernel's routes"],
  denim_certificate_expires_timestamp_seconds: ["When this node's certificate ends"],
  denim_disk_free_bytes: ["Room on the disk of the state directory"],
  denim_disk_low: ["1 while that is less than it should be"],
  denim_revision: ["Revision of this node's copy of the state"],
  denim_nodes: ["Nodes in the cluster"],
  denim_nodes_silent: ["Nodes that nobody has heard of for a while"],
  denim_on_hold: ["1 while the cluster gives nothing out, after a recovery or a fork"],
  denim_fork_seen: ["1 where another cluster goes on from the same past"],
  denim_leader_age_seconds: ["How long ago a leader stood behind this node's copy"],
  denim_raft_term: ["Raft term"],
  denim_raft_is_leader: ["1 on the leader"],
  denim_raft_commit_index: ["Last committed entry"],
  denim_raft_applied_index: ["Last applied entry"],
  denim_followers: ["Nodes and clients that follow this server's events"],
  denim_follower_lag_entries: ["On the leader: entries that a member lacks", "raft_id"],
};
