import { type Clock, sleep } from "../base/clock.ts";
import { DenimError, isDenimError } from "../base/errors.ts";
import type { Replica } from "../replica/replica.ts";
import type { Channel } from "../transport/channel.ts";
import { KIND, type LeaveRequest, type NodeRoutesRequest } from "../transport/protocol.ts";
import type { Mesh } from "./mesh.ts";
import type { Planning } from "./planning.ts";

export interface ErrandParts {
  readonly self: string;
  readonly mesh: Mesh;
  readonly planning: Planning;
  readonly clock: Clock;
  readonly replica: () => Replica | undefined;
  /** On an agent: the connection to the server that it follows. */
  readonly upstream: () => Channel | undefined;
  /** On an agent: the servers say that it is not a member. */
  readonly isOut: () => boolean;
  readonly otherServers: () => readonly string[];
  readonly ownRoutes: () => unknown;
}

const ROUTES_TIMEOUT_MS = 3_000;
const LEAVE_TIMEOUT_MS = 40_000;
const RETRY_MS = 200;
/** A leader that lets itself go hands over first, and the next one finishes. */
const WORTH_A_RETRY = ["NOT_LEADER", "NO_LEADER", "PEER_UNREACHABLE", "CONNECTION_LOST"] as const;

/** What a node asks of others on somebody's behalf: any node answers anything. */
export class Errands {
  readonly #parts: ErrandParts;

  constructor(parts: ErrandParts) {
    this.#parts = parts;
  }

  /**
   * The routes that a node programs. `here` looks at this node's own connections only: for
   * another server, which asks every other one itself. An agent leaves all of that to its server.
   *
   * @throws `PEER_UNREACHABLE`
   */
  async routesOf(node: string, where: "here" | "anywhere"): Promise<unknown> {
    const { self, mesh, ownRoutes } = this.#parts;
    if (node === self) return ownRoutes();
    const near = mesh.channelTo(node);
    const timeoutMs = ROUTES_TIMEOUT_MS;
    if (near !== undefined) return await near.request(KIND.routes, {}, { timeoutMs });
    const isServer = this.#parts.replica() !== undefined;
    const body: NodeRoutesRequest = isServer ? { node, here: true } : { node };
    for (const channel of where === "here" ? [] : this.#servers()) {
      try {
        return await channel.request(KIND.nodeRoutes, body, { timeoutMs: timeoutMs * 2 });
      } catch {
        // Another server may be the one that it is connected to.
      }
    }
    throw new DenimError("PEER_UNREACHABLE", `${node} is not connected to any server now`);
  }

  /** Whether a process of the node is connected to any server that can be reached. */
  async lives(node: string): Promise<boolean> {
    return await this.routesOf(node, "anywhere").then(() => true, () => false);
  }

  /**
   * Takes a node out of the group and the cluster, through whichever server leads. One that goes
   * itself may lose its connections before it hears that it is out: then the next server says so.
   */
  async letGo(node: string, how: LeaveRequest["how"]): Promise<void> {
    const { clock, self, isOut } = this.#parts;
    const endMs = clock.monotonicMs() + LEAVE_TIMEOUT_MS;
    let error: unknown = new DenimError("NO_LEADER", "No server leads the cluster");
    while (clock.monotonicMs() < endMs) {
      try {
        return await this.letGoOnce(node, how);
      } catch (caught) {
        error = caught;
        if (!isDenimError(caught, ...WORTH_A_RETRY)) throw caught;
        if (node === self && isOut()) return;
      }
      await sleep(clock, RETRY_MS);
    }
    throw error;
  }

  /** Here if this node leads, else by one step towards the leader. @throws `NOT_LEADER` */
  async letGoOnce(node: string, how: LeaveRequest["how"]): Promise<void> {
    const { planning, replica, mesh, upstream } = this.#parts;
    const own = replica();
    if (own?.leads) return await planning.letGo(node, how);
    const body: LeaveRequest = { node, how };
    const leader = own?.view().leaderNode;
    if (leader !== undefined) {
      await mesh.ask(leader, KIND.leave, body, LEAVE_TIMEOUT_MS);
      return;
    }
    const channel = upstream();
    if (channel === undefined) throw new DenimError("NO_LEADER", "No server can be reached");
    await channel.request(KIND.leave, body, { timeoutMs: LEAVE_TIMEOUT_MS });
  }

  #servers(): Channel[] {
    const { mesh, replica, upstream, otherServers } = this.#parts;
    const channels = replica() === undefined
      ? [upstream()]
      : otherServers().map((server) => mesh.channelTo(server));
    return channels.filter((channel) => channel?.isClosed === false) as Channel[];
  }
}
