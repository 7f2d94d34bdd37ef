import type {
  CaView,
  Check,
  HoldView,
  LeaseView,
  NetworkView,
  NodeView,
  QuorumView,
  ReservationView,
  StatusView,
  TokenView,
} from "../api/service.ts";
import type { DenimError } from "../base/errors.ts";
import { parseNetworkConfig } from "../lease/network.ts";
import type { TokenBody } from "../lease/records.ts";
import { nodesWithLeases, type StateReader, theCluster, theGroup } from "../lease/state.ts";
import { rotationOf } from "../lease/trust.ts";
import { caId, readTerm, splitBundle } from "../transport/certificate.ts";
import { leasesOfThisEpoch, REASONS, theHold } from "../lease/hold.ts";
import { formatAddress } from "../ip/address.ts";
import { formatEpoch } from "./control/epoch-watch.ts";
import { formatSubject } from "../plan/subject.ts";
import { countStates } from "./data/route-view.ts";
import type { Node } from "./node.ts";
import { type Quorum, wayOut } from "./control/quorum.ts";

/** What others are shown of the state: plain objects, nothing secret. */
export function networkView(config: string, revision: number): NetworkView {
  const { warnings } = parseNetworkConfig(config, { unknownKeys: "keep" });
  return { config, revision, warnings };
}

export function caView(state: StateReader, bundle: string, wallMs: number): CaView {
  const cas = splitBundle(bundle).map((pem) => ({
    id: caId(pem),
    expires: iso(readTerm(pem).endsMs),
  }));
  const rotation = rotationOf(state);
  return {
    signer: cas[0]!,
    cas,
    rotation: rotation === undefined ? null : {
      phase: rotation.phase,
      former: rotation.former.id,
      next: rotation.next.id,
      missing: rotation.missing
        .map(({ body: { name, silent } }) => ({ name, silent: silent === true })),
    },
    nodes: [...state.all("node")].length,
    tokens: [...state.all("token")].filter(({ body }) => stateOf(body, wallMs) === "usable").length,
  };
}

function iso(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

export function leaseViews(state: StateReader): LeaseView[] {
  return [...state.all("lease")].map(({ key, body, modRevision }) => {
    const deadline = state.get("deadline", key);
    const nodeName = state.get("node", body.node)?.body.name ?? body.node;
    return {
      subnet: key,
      subnets: body.subnets,
      node: body.node,
      nodeName,
      publicIp: body.publicIp,
      publicIpv6: body.publicIpv6 ?? null,
      backendType: body.backendType,
      backendData: readable(body.backendData),
      revision: modRevision,
      reserved: body.subnets.some((subnet) =>
        state.get("reservation", subnet)?.body.nodeName === nodeName
      ),
      ...(deadline === undefined
        ? {}
        : { expiresInMs: Math.max(0, deadline.body.deadlineMs - state.clockMs) }),
    };
  });
}

export function reservationViews(state: StateReader): ReservationView[] {
  return [...state.all("reservation")].map(({ key, body }) => {
    const holder = state.find("leaseBySubnet", key)[0]?.body.node;
    return {
      subnet: key,
      nodeName: body.nodeName ?? null,
      token: body.tokenId ?? null,
      leased: holder !== undefined,
      moving: body.moves !== undefined && body.moves !== holder,
    };
  });
}

export function tokenViews(state: StateReader, wallMs: number): TokenView[] {
  return [...state.all("token")].map(({ key, body }) => ({
    id: key,
    role: body.role,
    usesLeft: body.usesLeft,
    expires: new Date(body.expiresWallMs).toISOString(),
    name: body.name ?? null,
    from: body.from ?? [],
    subnet: body.subnet ?? null,
    ephemeral: body.ephemeral === true,
    state: stateOf(body, wallMs),
  }));
}

function stateOf(token: TokenBody, wallMs: number): TokenView["state"] {
  if (token.revokedWallMs !== undefined) return "revoked";
  if (token.usesLeft === 0) return "used";
  return token.expiresWallMs <= wallMs ? "expired" : "usable";
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
    publicIpv6: lease?.publicIpv6 ?? null,
    subnets: lease?.subnets ?? [],
    silent: node.silent === true,
    zone: node.zone ?? null,
    preferred: node.preferred ?? null,
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
  const isWritten = node.data.subnetFileWritten;
  const failed = pass?.outcomes.find(({ error }) => error !== undefined)?.error;
  return [
    check("lease", accepted, accepted ? undefined : leaseWhy),
    // A host that was ready stays so: what stands goes on, and nothing repairs it.
    check("routes", pass !== undefined, said(node.prepareError ?? node.data.failure)),
    check("subnet-file", isWritten, isWritten ? undefined : failed),
    check("store", node.control.storeFailure === undefined, said(node.control.storeFailure)),
    ...(node.control.mesh.hasTwin ? [check("identity", false, TWIN)] : []),
    ...notesOf(node),
  ];
}

/** A week in which somebody can look at it. */
const CERTIFICATE_ALARM_MS = 7 * 86_400_000;
const TWIN = "another host runs with the identity of this one, and servers refuse both";

const MASS_SILENCE = "many nodes fell silent at once: that is the network, and none is marked";

/** What has to be known, and does not keep containers from starting. */
function notesOf(node: Node): Check[] {
  const { fork, later } = node.control.epochs;
  const state = node.control.cluster.view()?.state;
  const hold = state === undefined ? null : holdView(state);
  const notes: Check[] = [];
  const place = said(node.data.placeFailure);
  if (place !== undefined) notes.push({ name: "interface", ok: true, why: place });
  notes.push(...routeNotes(node));
  const disk = node.disk.why;
  if (disk !== undefined) notes.push({ name: "disk", ok: true, why: disk });
  const certificate = certificateNote(node);
  if (certificate !== undefined) notes.push({ name: "certificate", ok: true, why: certificate });
  for (const { kind, network, tool, error } of node.rules.reports) {
    if (error === undefined) continue;
    notes.push({ name: "rules", ok: true, why: `cannot ${kind} ${network} by ${tool}: ${error}` });
  }
  if (node.control.alarm) notes.push({ name: "silence", ok: true, why: MASS_SILENCE });
  if (hold !== null) notes.push({ name: "hold", ok: true, why: holdText(hold) });
  if (fork !== undefined) {
    const why = `a cluster in epoch ${formatEpoch(fork)} goes on from the same past as this one`;
    notes.push({ name: "epoch", ok: true, why });
  } else if (later !== undefined) {
    const why = `the cluster goes on in epoch ${formatEpoch(later)} without this node; a ` +
      "server comes over by: denim rejoin HOST";
    notes.push({ name: "epoch", ok: true, why });
  }
  return notes;
}

/** Which subnets have no route of ours: one of them, as `denim route` has them all. */
function routeNotes({ data }: Node): Check[] {
  const { lastPass } = data;
  const failed = data.routes().filter(({ kind, state }) => kind === "hook" && state === "failed");
  const { leftOut = [], conflicts = [] } = lastPass ?? {};
  const note = (name: string, [first, ...more]: readonly string[]): Check[] => {
    if (first === undefined) return [];
    const why = more.length === 0 ? first : `${first} (and ${more.length} more: denim route)`;
    return [{ name, ok: true, why }];
  };
  return [
    ...note("commands", failed.map(({ about, error }) => `${about}: ${error}`)),
    ...note("left-out", leftOut.map(({ why }) => why)),
    ...note("conflict", conflicts.map(({ about, why }) => `${formatSubject(about)}: ${why}`)),
  ];
}

/** It is renewed long before: this is what is left to do when that did not work. */
function certificateNote({ control }: Node): string | undefined {
  const { term } = control.trust;
  if (term === undefined || term.leftMs > CERTIFICATE_ALARM_MS) return undefined;
  const left = term.leftMs > 0 ? "ends" : "ended";
  return `this node's certificate ${left} on ${iso(term.endsMs)}, and servers do not renew it; ` +
    "once it has ended: denim rejoin HOST --token-file FILE";
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
    since: iso(hold.sinceWallMs),
    notBefore: iso(hold.untilWallMs),
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
  return why === undefined ? { name, ok } : { name, ok, why };
}

export function statusOf(node: Node, version: string): StatusView {
  const view = node.control.cluster.view();
  const state = view?.state;
  const cluster = state && theCluster(state);
  const nodes = state === undefined ? [] : nodeViews(state, node.record.nodeId, view?.leaderNode);
  const own = nodes.find(({ self }) => self);
  const checks = checksOf(node);
  const term = node.control.trust.term;
  const quorum = node.control.voters.quorum();
  return {
    node: { id: node.record.nodeId, name: node.record.name, version },
    cluster: view === undefined || cluster === undefined ? null : {
      id: cluster.clusterId,
      name: cluster.name,
      epoch: cluster.epoch,
      revision: view.position.revision,
      leader: quorum === undefined
        ? nodes.find(({ role }) => role === "leader")?.name ?? null
        : null,
      leaderAgeMs: view.leaderAgeMs === undefined ? null : Math.round(view.leaderAgeMs),
      quorum: quorumView(quorum),
      nodes: nodes.length,
      silent: nodes.filter(({ silent }) => silent).length,
      hold: holdView(view.state),
    },
    role: own?.role ?? "agent",
    zone: own?.zone ?? null,
    lease: leaseStatus(node),
    dataPlane: dataPlaneStatus(node),
    certificate: term === undefined
      ? null
      : { expires: iso(term.endsMs), renews: iso(term.renewMs) },
    ready: checks.every(({ ok }) => ok),
    checks,
  };
}

function quorumView(quorum: Quorum | undefined): QuorumView | null {
  if (quorum === undefined) return null;
  const { holdsLog: _, ...view } = quorum;
  return { ...view, fix: wayOut(quorum) ?? null };
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
  const [publicIp, publicIpv6] = data.publicIps;
  return {
    backend: data.place?.backend.name ?? null,
    link: data.place?.host.link.name ?? null,
    linkWhy: data.place?.why ?? null,
    publicIp: publicIp === undefined ? null : formatAddress(publicIp),
    publicIpv6: publicIpv6 === undefined ? null : formatAddress(publicIpv6),
    mtu: data.place?.mtu ?? null,
    subnetFile: settings.subnetFile,
    mode: data.lastPass?.mode ?? null,
    ...countStates(data.routes()),
    rules: node.rules.reports.map(({ kind, network, tool, from = null, error = null }) => (
      { kind, network, tool, from, error }
    )),
  };
}
