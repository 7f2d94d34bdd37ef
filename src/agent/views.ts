import type {
  Check,
  HoldView,
  LeaseView,
  NetworkView,
  NodeView,
  StatusView,
} from "../api/service.ts";
import type { DenimError } from "../base/errors.ts";
import { parseNetworkConfig } from "../lease/network.ts";
import { nodesWithLeases, type StateReader, theCluster, theGroup } from "../lease/state.ts";
import { leasesOfThisEpoch, REASONS, theHold } from "../lease/hold.ts";
import { formatAddress } from "../ip/address.ts";
import { formatEpoch } from "./epoch-watch.ts";
import type { Node } from "./node.ts";

/** What others are shown of the state: plain objects, nothing secret. */
export function networkView(config: string, revision: number): NetworkView {
  const { warnings } = parseNetworkConfig(config, { unknownKeys: "keep" });
  return { config, revision, warnings };
}

export function leaseViews(state: StateReader): LeaseView[] {
  return [...state.all("lease")].map(({ key, body, modRevision }) => {
    const deadline = state.get("deadline", key);
    return {
      subnet: key,
      subnets: body.subnets,
      node: body.node,
      nodeName: state.get("node", body.node)?.body.name ?? body.node,
      publicIp: body.publicIp,
      backendType: body.backendType,
      backendData: readable(body.backendData),
      revision: modRevision,
      ...(deadline === undefined
        ? {}
        : { expiresInMs: Math.max(0, deadline.body.deadlineMs - state.clockMs) }),
    };
  });
}

/** Text that is no JSON is shown as what it is. */
function readable(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function nodeViews(
  state: StateReader,
  self: string | undefined,
  leader: string | undefined,
): NodeView[] {
  return nodesWithLeases(state).map(({ id, node, lease }) => ({
    id,
    name: node.name,
    role: roleOf(state, node.raftId, id === leader),
    eligible: node.role,
    raftId: node.raftId ?? null,
    address: node.address,
    publicIp: lease?.publicIp ?? null,
    subnets: lease?.subnets ?? [],
    silent: node.silent === true,
    version: node.version,
    self: id === self,
  }));
}

function roleOf(
  state: StateReader,
  raftId: number | undefined,
  leads: boolean,
): NodeView["role"] {
  const { voters, learners } = theGroup(state);
  if (leads) return "leader";
  if (raftId !== undefined && voters.includes(raftId)) return "voter";
  return raftId !== undefined && learners.includes(raftId) ? "standby" : "agent";
}

/** Whether containers can be started on this host, and if not, why. */
export function checksOf(node: Node): Check[] {
  const standing = node.standing();
  const pass = node.data.lastPass;
  const leaseWhy = standing.kind === "held" ? undefined : said(standing.error) ??
    (standing.kind === "none"
      ? "none was granted yet"
      : "the cluster has not confirmed it since this daemon started");
  const accepted = standing.kind === "held" ||
    (standing.kind === "fenced" && node.settings.acceptExpiredLease);
  const failed = pass?.outcomes.find(({ error }) => error !== undefined)?.error;
  return [
    check("lease", accepted, leaseWhy),
    check("routes", pass !== undefined, said(node.prepareError ?? node.data.failure)),
    check("subnet-file", node.data.subnetFileWritten, failed),
    check("store", node.control.storeFailure === undefined, said(node.control.storeFailure)),
    ...(node.control.mesh.hasTwin ? [check("identity", false, TWIN)] : []),
    ...notesOf(node),
  ];
}

const TWIN = "another host runs with the identity of this one, and servers refuse both";

/** What has to be known, and does not keep containers from starting. */
function notesOf(node: Node): Check[] {
  const { fork, later } = node.control.epochs;
  const state = node.control.cluster.view()?.state;
  const hold = state === undefined ? null : holdView(state);
  const notes: Check[] = [];
  const disk = node.disk.why;
  if (disk !== undefined) notes.push({ name: "disk", ok: true, why: disk });
  if (hold !== null) notes.push({ name: "hold", ok: true, why: holdText(hold) });
  if (fork !== undefined) {
    const why = `a cluster in epoch ${formatEpoch(fork)} goes on from the same past as this one`;
    notes.push({ name: "epoch", ok: true, why });
  } else if (later !== undefined) {
    const why = `the cluster goes on in epoch ${formatEpoch(later)} without this node`;
    notes.push({ name: "epoch", ok: true, why });
  }
  return notes;
}

function holdText({ reason, leases, claimed, notBefore, fork }: HoldView): string {
  const met = fork === null || reason === "fork" ? "" : `, and ${REASONS.fork}`;
  return `${REASONS[reason]}${met}: nothing is given out before ${notBefore}; ` +
    `${claimed} of ${leases} leases are of this epoch`;
}

function holdView(state: StateReader): HoldView | null {
  const hold = theHold(state);
  if (hold === undefined) return null;
  return {
    reason: hold.reason,
    since: new Date(hold.sinceWallMs).toISOString(),
    notBefore: new Date(hold.untilWallMs).toISOString(),
    leases: [...state.all("lease")].length,
    claimed: leasesOfThisEpoch(state).length,
    fork: hold.fork === undefined ? null : formatEpoch(hold.fork),
  };
}

/** What and why, on one line. */
function said(error: DenimError | undefined): string | undefined {
  if (error === undefined) return undefined;
  return error.why === undefined ? error.message : `${error.message}: ${error.why}`;
}

function check(name: string, ok: boolean, why: string | undefined): Check {
  return ok || why === undefined ? { name, ok } : { name, ok, why };
}

export function statusOf(node: Node, version: string): StatusView {
  const view = node.control.cluster.view();
  const state = view?.state;
  const cluster = state && theCluster(state);
  const nodes = state === undefined ? [] : nodeViews(state, node.record.nodeId, view?.leaderNode);
  const checks = checksOf(node);
  return {
    node: { id: node.record.nodeId, name: node.record.name, version },
    cluster: view === undefined || cluster === undefined ? null : {
      id: cluster.clusterId,
      name: cluster.name,
      epoch: cluster.epoch,
      revision: view.position.revision,
      leader: nodes.find(({ role }) => role === "leader")?.name ?? null,
      leaderAgeMs: view.leaderAgeMs === undefined ? null : Math.round(view.leaderAgeMs),
      nodes: nodes.length,
      silent: nodes.filter(({ silent }) => silent).length,
      hold: holdView(view.state),
    },
    role: nodes.find(({ self }) => self)?.role ?? "agent",
    lease: leaseStatus(node),
    dataPlane: dataPlaneStatus(node),
    ready: checks.every(({ ok }) => ok),
    checks,
  };
}

function leaseStatus(node: Node): StatusView["lease"] {
  const standing = node.standing();
  if (standing.kind === "none") {
    return {
      state: "none",
      subnets: [],
      trustedForMs: 0,
      why: said(standing.error) ?? null,
    };
  }
  return {
    state: standing.kind,
    subnets: standing.holding.subnets,
    trustedForMs: standing.kind === "held" ? Math.round(standing.trustedForMs) : 0,
    why: standing.kind === "fenced" ? said(standing.error) ?? null : null,
  };
}

function dataPlaneStatus(node: Node): StatusView["dataPlane"] {
  const { data, settings } = node;
  const routes: Record<string, number> = {};
  for (const { state } of data.routes()) routes[state] = (routes[state] ?? 0) + 1;
  return {
    backend: data.backendName ?? null,
    link: data.link ?? null,
    publicIp: data.publicIp === undefined ? null : formatAddress(data.publicIp),
    mtu: data.mtu ?? null,
    subnetFile: settings.subnetFile,
    mode: data.lastPass?.mode ?? null,
    routes,
  };
}
