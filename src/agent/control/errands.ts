import { type Clock, sleep } from "../../base/clock.ts";
import { DenimError, type ErrorCode, isDenimError } from "../../base/errors.ts";
import type { Replica } from "../../replica/replica.ts";
import type { Channel } from "../../transport/channel.ts";
import {
  KIND,
  type LeaveRequest,
  type NodeRoutesRequest,
  type RotateRequest,
} from "../../transport/protocol.ts";
import type { Mesh } from "./mesh.ts";
import type { CaRotation } from "../trust/ca-rotation.ts";
import type { Planning } from "../leading/planning.ts";
import type { Renewed } from "../trust/renewing.ts";

export interface ErrandParts {
  readonly self: string;
  readonly mesh: Mesh;
  readonly planning: Planning;
  readonly rotation: Pick<CaRotation, "begin">;
  readonly clock: Clock;
  readonly replica: () => Replica | undefined;
  /** On an agent: the connection to the server that it follows. */
  readonly upstream: () => Channel | undefined;
  /** On an agent: the servers say that it is not a member. */
  readonly isOut: () => boolean;
  readonly otherServers: () => readonly string[];
  readonly ownRoutes: () => unknown;
  /** What there is to say where nobody leads. */
  readonly explain: (error: DenimError) => DenimError;
}

const ROUTES_TIMEOUT_MS = 3_000;
const LEAVE_TIMEOUT_MS = 40_000;
const ROTATE_TIMEOUT_MS = 20_000;
const RENEW_TIMEOUT_MS = 15_000;
const RETRY_MS = 200;
/** A leader that lets itself go hands over first, and the next one finishes. */
const LEADERLESS = ["NOT_LEADER", "NO_LEADER"] as const;
const WORTH_A_RETRY = [...LEADERLESS, "PEER_UNREACHABLE", "CONNECTION_LOST"] as const;

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
    const { self, isOut } = this.#parts;
    const isDone = (error: unknown) =>
      node === self && (isDenimError(error, "NOT_A_MEMBER") || isOut());
    await this.#retry(LEAVE_TIMEOUT_MS, WORTH_A_RETRY, () => this.letGoOnce(node, how), isDone);
  }

  /** Here if this node leads, else by one step towards the leader. @throws `NOT_LEADER` */
  async letGoOnce(node: string, how: LeaveRequest["how"]): Promise<void> {
    const { planning, replica } = this.#parts;
    if (replica()?.leads) return await planning.letGo(node, how);
    await this.#towardsLeader(KIND.leave, { node, how } satisfies LeaveRequest, LEAVE_TIMEOUT_MS);
  }

  /** Begins to change the CA, through whichever server leads. */
  async rotateCa(request: RotateRequest): Promise<void> {
    await this.#retry(ROTATE_TIMEOUT_MS, LEADERLESS, () => this.rotateCaOnce(request));
  }

  /** Here if this node leads, else by one step towards the leader. @throws `NOT_LEADER` */
  async rotateCaOnce(request: RotateRequest): Promise<void> {
    const { rotation, replica } = this.#parts;
    if (replica()?.leads) return await rotation.begin(request.leaveSilent);
    await this.#towardsLeader(KIND.rotate, request, ROTATE_TIMEOUT_MS);
  }

  /** Has a request signed by any server that holds the CA key. @throws what the last one said */
  async renew(csr: string): Promise<string> {
    let error: unknown = new DenimError("PEER_UNREACHABLE", "No server can be reached");
    for (const channel of this.#servers()) {
      try {
        const options = { timeoutMs: RENEW_TIMEOUT_MS };
        return (await channel.request(KIND.renew, { csr }, options) as Renewed).certificate;
      } catch (caught) {
        error = caught;
      }
    }
    throw error;
  }

  async #retry(
    patienceMs: number,
    codes: readonly ErrorCode[],
    attempt: () => Promise<void>,
    isDone: (error: unknown) => boolean = () => false,
  ): Promise<void> {
    const { clock } = this.#parts;
    const endMs = clock.monotonicMs() + patienceMs;
    let error: unknown = new DenimError("NO_LEADER", "No server leads the cluster");
    while (clock.monotonicMs() < endMs) {
      try {
        return await attempt();
      } catch (caught) {
        error = caught;
        if (isDone(caught)) return;
        if (!isDenimError(caught, ...codes)) throw caught;
      }
      await sleep(clock, RETRY_MS);
    }
    throw isDenimError(error, "NO_LEADER") ? this.#parts.explain(error) : error;
  }

  async #towardsLeader(kind: string, body: unknown, timeoutMs: number): Promise<void> {
    const { replica, mesh, upstream } = this.#parts;
    const leader = replica()?.view().leaderNode;
    if (leader !== undefined) return void await mesh.ask(leader, kind, body, timeoutMs);
    const channel = upstream();
    if (channel === undefined) throw new DenimError("NO_LEADER", "No server can be reached");
    await channel.request(kind, body, { timeoutMs });
  }

  #servers(): Channel[] {
    const { mesh, replica, upstream, otherServers } = this.#parts;
    const channels = replica() === undefined
      ? [upstream()]
      : otherServers().map((server) => mesh.channelTo(server));
    return channels.filter((channel) => channel?.isClosed === false) as Channel[];
  }
}
