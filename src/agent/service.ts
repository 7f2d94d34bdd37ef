import type {
  Consistency,
  LeaseView,
  NetworkView,
  NodeView,
  Service,
  StatusView,
  TokenMade,
  TokenRequest,
  TokenView,
} from "../api/service.ts";
import type { Clock } from "../base/clock.ts";
import { DenimError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { Feed, Position, View } from "../lease/cluster.ts";
import { parseNetworkConfig, withExplicitBackend } from "../lease/network.ts";
import { SINGLE } from "../lease/records.ts";
import { nodeByName } from "../lease/state.ts";
import { caPin } from "../transport/certificate.ts";
import { createToken, encodeToken, hashSecret } from "../transport/token.ts";
import { serversOf } from "./servers.ts";
import { Metrics } from "./metrics.ts";
import type { Node } from "./node.ts";
import { leaseViews, networkView, nodeViews, statusOf } from "./views.ts";

export interface ServiceOptions {
  /** `undefined` while this host is in no cluster. */
  readonly node: () => Node | undefined;
  readonly hostName: string;
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly caBundle: () => Promise<string | undefined>;
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
    parseNetworkConfig(text);
    const config = withExplicitBackend(text);
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

  async nodes(consistency: Consistency): Promise<readonly NodeView[]> {
    const { state, leaderNode } = await this.#read(consistency);
    return nodeViews(state, this.#present().record.nodeId, leaderNode);
  }

  async routes(wanted: string): Promise<unknown> {
    const node = this.#present();
    return await node.control.errands.routesOf(await this.#idOf(wanted), "anywhere");
  }

  async removeNode(wanted: string): Promise<{ readonly id: string; readonly name: string }> {
    const node = this.#present();
    const id = await this.#idOf(wanted);
    const name = (await this.#read("stale")).state.get("node", id)?.body.name ?? wanted;
    if (id === node.record.nodeId) {
      throw new DenimError("USAGE", "This is the node itself", { fix: "denim leave" });
    }
    await node.control.errands.letGo(id, "remove");
    return { id, name };
  }

  async releaseHold(): Promise<{ readonly claimed: number; readonly unclaimed: number }> {
    const { cluster } = this.#present().control;
    const { position: { epoch } } = await cluster.read("linearizable");
    const command = { kind: "cluster.release-hold", epoch, early: true } as const;
    const answer = await cluster.propose(command);
    if (answer === null) throw new DenimError("NOT_FOUND", "The cluster is not on hold");
    return answer as { claimed: number; unclaimed: number };
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
    return [...view?.state.all("token") ?? []].map(({ key, body }) => ({
      id: key,
      role: body.role,
      usesLeft: body.usesLeft,
      expires: new Date(body.expiresWallMs).toISOString(),
      name: body.name ?? null,
    }));
  }

  async createToken(request: TokenRequest): Promise<TokenMade> {
    const { clock, random, caBundle } = this.#options;
    const node = this.#present();
    const ca = await caBundle();
    if (ca === undefined) throw new DenimError("STORE_DAMAGED", "The CA certificate is missing");
    const token = createToken(request.role, caPin(ca), random);
    const expiresWallMs = Math.floor(clock.wallMs()) + request.ttlMs;
    await node.control.cluster.propose({
      kind: "token.create",
      ...{ tokenId: token.id, role: request.role, uses: request.uses, expiresWallMs },
      secretHash: hashSecret(token.secret),
      ...(request.name === undefined ? {} : { name: request.name }),
    });
    const servers = serversOf(node.control.cluster.view()!.state).map(({ address }) => address);
    return {
      token: encodeToken(token),
      ...{ id: token.id, role: request.role, servers },
      expires: new Date(expiresWallMs).toISOString(),
    };
  }

  async revokeToken(tokenId: string): Promise<void> {
    await this.#present().control.cluster.propose({ kind: "token.revoke", tokenId });
  }

  async leave(): Promise<{ readonly subnets: readonly string[] }> {
    const node = this.#present();
    const { state } = await this.#read("stale");
    const standing = node.standing();
    const alone = [...state.all("node")].length <= 1;
    if (alone) await node.data.withdraw();
    else await node.leave();
    this.#options.retire();
    return { subnets: standing.kind === "none" ? [] : standing.holding.subnets };
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
    lease: { state: "none", subnets: [], trustedForMs: 0, why: null },
    dataPlane: {
      ...{ backend: null, link: null, publicIp: null, mtu: null, mode: null },
      subnetFile: "",
      routes: {},
    },
    ready: false,
    checks: [{ name: "cluster", ok: false, why: "this host is in no cluster yet" }],
  };
}
