import type {
  CaView,
  Consistency,
  LeaseView,
  LeaveView,
  LevelView,
  MoveView,
  NetworkView,
  NodeRemoved,
  NodeView,
  ReservationView,
  Service,
  StatusView,
  TokenMade,
  TokenRequest,
  TokenView,
} from "../api/service.ts";
import type { Json } from "../backend/backend.ts";
import type { BackendRegistry } from "../backend/registry.ts";
import type { Clock } from "../base/clock.ts";
import { DenimError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { Feed, Position, View } from "../lease/cluster.ts";
import type { Command } from "../lease/command.ts";
import { parseNetworkConfig, withExplicitBackend } from "../lease/network.ts";
import { mayComeBack } from "../lease/context.ts";
import { type Role, SINGLE } from "../lease/records.ts";
import { nodeByName } from "../lease/state.ts";
import { caPin } from "../transport/certificate.ts";
import { createToken, encodeToken, hashSecret } from "../transport/token.ts";
import { makeBackup } from "./entry/backing-up.ts";
import { serversOf } from "./control/servers.ts";
import { Metrics } from "./metrics.ts";
import { finalizeUpgrade, levelsOf, preferNode, removeNode } from "./leading/membership.ts";
import type { Node } from "./node.ts";
import {
  caView,
  leaseViews,
  networkView,
  nodeViews,
  reservationViews,
  statusOf,
  tokenViews,
} from "./views.ts";

export interface ServiceOptions {
  /** `undefined` while this host is in no cluster. */
  readonly node: () => Node | undefined;
  readonly backends: BackendRegistry;
  readonly hostName: string;
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Ends the daemon after the answer, with its identity wiped. */
  readonly retire: () => void;
}

/** What the API asks of a node, answered from its own copy or through the cluster. */
export class NodeService implements Service {
  readonly #options: ServiceOptions;
  readonly #metrics: Metrics;

  constructor(options: ServiceOptions) {
    this.#options = options;
    this.#metrics = new Metrics(options.version);
  }

  status(): StatusView {
    const { node, version, hostName } = this.#options;
    const present = node();
    return present === undefined ? inNoCluster(hostName, version) : statusOf(present, version);
  }

  async network(consistency: Consistency): Promise<NetworkView> {
    const { state } = await this.#read(consistency);
    const record = state.get("network", SINGLE);
    if (record === undefined) throw new DenimError("NOT_FOUND", "There is no network yet");
    return networkView(record.body.config, record.modRevision);
  }

  async setNetwork(text: string, ifRevision: number | undefined): Promise<NetworkView> {
    const config = withExplicitBackend(text);
    const { backendType, backendOptions } = parseNetworkConfig(config);
    // What a backend cannot read no host would follow.
    this.#options.backends.get(backendType).parseConfig(JSON.parse(backendOptions) as Json);
    // Nothing is read afterwards: that could fail, and a change that was made would look undone.
    const { revision } = await this.#present().control.cluster.propose({
      kind: "network.set",
      config,
      ...(ifRevision === undefined ? {} : { ifRevision }),
    }) as { readonly revision: number };
    return networkView(config, revision);
  }

  async leases(consistency: Consistency): Promise<readonly LeaseView[]> {
    return leaseViews((await this.#read(consistency)).state);
  }

  async reservations(consistency: Consistency): Promise<readonly ReservationView[]> {
    return reservationViews((await this.#read(consistency)).state);
  }

  async reserve(subnet: string, nodeName: string | undefined): Promise<{ subnet: string }> {
    const command = { kind: "reservation.put", subnet, ifFree: true } as const;
    return await this.#propose(nodeName === undefined ? command : { ...command, nodeName });
  }

  async release(subnet: string): Promise<{ subnet: string }> {
    return await this.#propose({ kind: "reservation.remove", subnet });
  }

  async moveLease(node: string, subnet: string): Promise<MoveView> {
    return await this.#propose({ kind: "lease.move", node, subnet });
  }

  async nodes(consistency: Consistency): Promise<readonly NodeView[]> {
    const { state, leaderNode } = await this.#read(consistency);
    return nodeViews(state, this.#present().record.nodeId, leaderNode);
  }

  async routes(wanted: string): Promise<unknown> {
    const node = this.#present();
    return await node.control.errands.routesOf(await this.#idOf(wanted), "anywhere");
  }

  async removeNode(wanted: string, force = false): Promise<NodeRemoved> {
    return await removeNode(this.#present(), await this.#idOf(wanted), force);
  }

  async preferNode(wanted: string, preferred: NodeView["preferred"]): Promise<NodeView> {
    const { clock } = this.#options;
    return await preferNode(this.#present(), clock, await this.#idOf(wanted), preferred);
  }

  async setVoters(voters: number): Promise<{ readonly voters: number }> {
    const { cluster } = this.#present().control;
    return await cluster.propose({ kind: "cluster.set-voters", voters }) as { voters: number };
  }

  async levels(consistency: Consistency): Promise<LevelView> {
    return await levelsOf(this.#present(), consistency);
  }

  async finalizeUpgrade(): Promise<LevelView> {
    return await finalizeUpgrade(this.#present());
  }

  async releaseHold(): Promise<{ readonly claimed: number; readonly unclaimed: number }> {
    const { cluster } = this.#present().control;
    const { position: { epoch } } = await cluster.read("linearizable");
    const command = { kind: "cluster.release-hold", epoch, early: true } as const;
    const answer = await cluster.propose(command);
    if (answer === null) throw new DenimError("NOT_FOUND", "The cluster is not on hold");
    return answer as { claimed: number; unclaimed: number };
  }

  async backup(passphrase: string | undefined): Promise<string> {
    const { version, clock, random } = this.#options;
    const { control } = this.#present();
    const capture = await control.capture();
    return await makeBackup({
      ...{ capture, passphrase, version, random, wallMs: clock.wallMs() },
      caBundle: control.trust.authority.bundle,
      caKey: await control.trust.authority.keys(),
    });
  }

  raft(): unknown {
    const { control } = this.#present();
    const { replica, digest } = control;
    const revision = this.position()?.revision;
    if (replica === undefined) return { member: false, revision, digest };
    return { member: true, revision, digest, ...replica.status() };
  }

  tokens(): readonly TokenView[] {
    const view = this.#present().control.cluster.view();
    return view === undefined ? [] : tokenViews(view.state, this.#options.clock.wallMs());
  }

  async createToken(request: TokenRequest): Promise<TokenMade> {
    const { clock, random } = this.#options;
    const node = this.#present();
    const { name, from, subnet, ephemeral } = request;
    const returner = request.node === undefined ? undefined : await this.#returner(request.node);
    const { role } = returner ?? request;
    const token = createToken(role, caPin(node.control.trust.authority.bundle), random);
    const expiresWallMs = Math.floor(clock.wallMs()) + request.ttlMs;
    await node.control.cluster.propose({
      kind: "token.create",
      ...{ tokenId: token.id, role, uses: request.uses, expiresWallMs },
      secretHash: hashSecret(token.secret),
      ...(returner === undefined ? {} : { node: returner.id }),
      ...(name === undefined ? {} : { name }),
      ...(from === undefined ? {} : { from }),
      ...(subnet === undefined ? {} : { subnet }),
      ...(ephemeral ? { ephemeral } : {}),
    });
    const servers = serversOf(node.control.cluster.view()!.state).map(({ address }) => address);
    return {
      token: encodeToken(token),
      ...{ id: token.id, role, servers, node: returner?.name ?? null },
      expires: new Date(expiresWallMs).toISOString(),
    };
  }

  /** One that the state has lost is known by its id alone. @throws `NOT_FOUND` */
  async #returner(wanted: string): Promise<{ id: string; name: string; role: Role }> {
    const { state } = await this.#read("linearizable");
    if (/^n-[0-9a-f]{12}$/.test(wanted) && mayComeBack(state, wanted)) {
      return { id: wanted, name: wanted, role: "server" };
    }
    const id = await this.#idOf(wanted);
    const { name, role } = state.get("node", id)!.body;
    return { id, name, role };
  }

  async revokeToken(tokenId: string): Promise<void> {
    await this.#present().control.cluster.propose({ kind: "token.revoke", tokenId });
  }

  ca(): CaView {
    const { cluster, trust: { authority } } = this.#present().control;
    const view = cluster.view();
    if (view === undefined) throw new DenimError("NO_LEADER", "This node knows nothing yet");
    return caView(view.state, authority.bundle, this.#options.clock.wallMs());
  }

  async rotateCa(request: { readonly leaveSilent: boolean }): Promise<CaView> {
    const { errands, cluster } = this.#present().control;
    await errands.rotateCa(request);
    await cluster.read("linearizable");
    return this.ca();
  }

  async leave(keepLease = false): Promise<LeaveView> {
    const node = this.#present();
    const { state } = await this.#read("stale");
    const standing = node.standing();
    const alone = [...state.all("node")].length <= 1;
    const stays = alone ? await node.withdraw() : await node.leave({ keepLease });
    this.#options.retire();
    return { subnets: standing.kind === "none" ? [] : standing.holding.subnets, stays };
  }

  follow(from: Position | undefined, signal: AbortSignal): AsyncIterable<Feed> {
    return this.#present().control.cluster.follow(from, signal);
  }

  position(): Position | undefined {
    return this.#present().control.cluster.view()?.position;
  }

  staleMs(): number | undefined {
    return this.#present().control.cluster.view()?.leaderAgeMs;
  }

  async metrics(): Promise<string> {
    return await this.#metrics.text(this.#options.node());
  }

  #present(): Node {
    const node = this.#options.node();
    if (node !== undefined) return node;
    throw new DenimError("NOT_FOUND", "This host is in no cluster yet", {
      fix: "denim init, or denim join HOST",
    });
  }

  async #propose<Answer>(command: Command): Promise<Answer> {
    return await this.#present().control.cluster.propose(command) as Answer;
  }

  async #read(consistency: Consistency): Promise<View> {
    return await this.#present().control.cluster.read(consistency);
  }

  /** @throws `NOT_FOUND` */
  async #idOf(wanted: string): Promise<string> {
    const { state } = await this.#read("stale");
    if (wanted === "self") return this.#present().record.nodeId;
    if (state.get("node", wanted) !== undefined) return wanted;
    const record = nodeByName(state, wanted);
    if (record === undefined) throw new DenimError("NOT_FOUND", `There is no node "${wanted}"`);
    return record.key;
  }
}

function inNoCluster(name: string, version: string): StatusView {
  return {
    node: { id: "", name, version },
    cluster: null,
    role: "agent",
    zone: null,
    lease: { state: "none", subnets: [], trustedForMs: 0, why: null },
    dataPlane: {
      ...{ backend: null, link: null, linkWhy: null, publicIp: null, publicIpv6: null },
      ...{ mtu: null, mode: null },
      subnetFile: "",
      routes: {},
      tunnel: {},
      rules: [],
    },
    certificate: null,
    ready: false,
    checks: [{ name: "cluster", ok: false, why: "this host is in no cluster yet" }],
  };
}
