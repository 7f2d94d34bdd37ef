import { DenimError } from "../../base/errors.ts";
import type { Position } from "../../lease/cluster.ts";
import type { Command } from "../../lease/command.ts";
import { mayPropose } from "../../lease/authorize.ts";
import { nodeByRaftId, theCluster, theGroup } from "../../lease/state.ts";
import type { Message } from "../../raft/mod.ts";
import type { Replica } from "../../replica/replica.ts";
import type { StateCapture } from "../../store/backup.ts";
import { Handlers } from "../../transport/handlers.ts";
import type { Hello } from "../../transport/handshake.ts";
import {
  type CaDelivery,
  type ConnectedNotice,
  type FollowRequest,
  type GroupAnswer,
  KIND,
  type LeaveRequest,
  type NodeRoutesRequest,
  type ProposeRequest,
  type RaftNotice,
  type RotateRequest,
  type SnapshotPart,
  type SnapshotTaken,
} from "../../transport/protocol.ts";
import { sendCapture } from "../entry/backing-up.ts";
import { readAgentCommand } from "./border.ts";
import { type Leadership, serveFollower } from "./following.ts";
import type { IncomingSnapshots } from "./incoming.ts";
import { renewFor, type RenewingParts } from "../trust/renewing.ts";

/** What serving needs of the node that serves. */
export interface ServingParts extends RenewingParts {
  /** This node's part in Raft, if it has one now. */
  replica(): Replica | undefined;
  /** A message of the Raft group came to a node that is not in it yet: the planner calls. */
  becomeServer(raftId: number): Promise<Replica | undefined>;
  /** Messages of members came to a node that holds no log, and that they do not call. */
  answerAsFormer(messages: readonly Message[]): void;
  keepCaKey(caKey: string): Promise<void>;
  noteConnected(from: string, notice: ConnectedNotice): void;
  /** Of all connections: a snapshot that broke off on one may go on over the next. */
  readonly incoming: IncomingSnapshots;
  /** Another process speaks as this node. */
  noteTwin(): void;
  leadership(): Leadership;
  /** The whole state, both sections, as of a linearizable read. */
  capture(): Promise<StateCapture>;
  /** Routes of this node as its reconciler last saw them. */
  ownRoutes(): unknown;
  /** Routes of a node that is connected here, or to any server. */
  routesOf(node: string, where: "here" | "anywhere"): Promise<unknown>;
  /** Takes a node out of the group and the cluster, here or where the leader is. */
  letGo(node: string, how: LeaveRequest["how"]): Promise<void>;
  /** Begins to change the CA, here or where the leader is. */
  rotateCa(request: RotateRequest): Promise<void>;
}

/** What this node answers to the peer whose hello this is. */
export function servePeer(parts: ServingParts, hello: Hello): Handlers {
  const handlers = new Handlers()
    .request(KIND.routes, () => parts.ownRoutes())
    .request(KIND.nodeRoutes, (body) => {
      const { node, here } = body as NodeRoutesRequest;
      return parts.routesOf(node, here === true ? "here" : "anywhere");
    })
    .request(KIND.propose, (body) => propose(parts, hello, body as ProposeRequest))
    .request(KIND.read, async (): Promise<Position> => {
      return (await parts.cluster.read("linearizable")).position;
    })
    .request(KIND.renew, (body) => renewFor(parts, hello.nodeId, body))
    .request(KIND.leave, async (body) => {
      const { node, how } = body as LeaveRequest;
      const own = node === hello.nodeId && (how === "leave" || how === "leave-keeping");
      if (hello.role !== "server" && !own) throw notYours();
      await parts.letGo(node, how);
      return null;
    })
    .stream(KIND.capture, async (_, sink) => {
      if (parts.replica() === undefined) throw anAgent();
      await sendCapture(await parts.capture(), sink);
    })
    .stream(KIND.follow, (body, sink) => {
      if (parts.replica() === undefined) throw anAgent();
      return serveFollower(parts, body as FollowRequest, sink);
    });
  if (hello.role === "server") serveServer(parts, hello, handlers);
  return handlers;
}

function serveServer(parts: ServingParts, hello: Hello, handlers: Handlers): void {
  handlers
    .notice(KIND.raft, (body) => {
      const { messages } = body as RaftNotice;
      const own = messages.filter(({ from }) => speaksFor(parts, hello, from));
      if (own.length === 0) return;
      const replica = parts.replica();
      if (replica !== undefined) replica.receive(own.filter(({ to }) => to === replica.raftId));
      else if (own.some((message) => calls(parts, message))) {
        void parts.becomeServer(own[0]!.to).then((started) => started?.receive(own));
      } else parts.answerAsFormer(own);
    })
    .request(KIND.group, async (): Promise<GroupAnswer> => {
      const { voters, learners } = theGroup((await parts.cluster.read("linearizable")).state);
      return { members: [...voters, ...learners] };
    })
    .request(KIND.snapshot, async (body): Promise<SnapshotTaken> => {
      const part = body as SnapshotPart;
      const { at, capture } = parts.incoming.take(part);
      if (capture === undefined) return { at };
      const { offer } = part.end!;
      if (!speaksFor(parts, hello, offer.from)) throw notYours();
      const replica = parts.replica() ?? await parts.becomeServer(offer.to);
      if (replica === undefined || replica.raftId !== offer.to) throw notYours();
      replica.receiveSnapshot(offer, capture);
      return { at };
    })
    .request(KIND.rotate, async (body) => {
      await parts.rotateCa(body as RotateRequest);
      return null;
    })
    .request(KIND.ca, async (body) => {
      const { caKey, raftId } = body as CaDelivery;
      const replica = parts.replica();
      if (replica !== undefined && replica.raftId !== raftId) throw stillLeaving();
      await parts.keepCaKey(caKey);
      return null;
    })
    .notice(KIND.twin, () => parts.noteTwin())
    .notice(KIND.connected, (body) => parts.noteConnected(hello.nodeId, body as ConnectedNotice));
}

/**
 * Raft ids are proved by the certificate behind the connection, not by what a message says. An id
 * that was given out after this node's copy of the state is taken from the server's hello.
 */
function speaksFor(parts: ServingParts, hello: Hello, raftId: number): boolean {
  const view = parts.cluster.view();
  if (view === undefined) return false;
  const lastRaftId = theCluster(view.state)?.lastRaftId ?? 0;
  return raftId > lastRaftId
    ? hello.raftId === raftId
    : nodeByRaftId(view.state, raftId)?.key === hello.nodeId;
}

/**
 * Whether a message means that this node is a member that does not know it yet. What a former
 * member still gets is not newer than what it knew when it went.
 */
function calls({ cluster }: ServingParts, message: Message): boolean {
  const view = cluster.view();
  if (view === undefined || message.kind === "snapshot") return true;
  const { voters, learners } = theGroup(view.state);
  return [...voters, ...learners].includes(message.to) ||
    (message.kind === "append" && message.commit > view.position.revision);
}

async function propose(
  parts: ServingParts,
  hello: Hello,
  { command: body, here }: ProposeRequest,
): Promise<unknown> {
  const asker = { node: hello.nodeId, role: hello.role };
  const allowed = mayPropose(body, asker);
  if (!allowed) throw notYours();
  const command: Command = asker.role === "server" ? body : readAgentCommand(body);
  if (here !== true) return await parts.cluster.propose(command);
  const replica = parts.replica();
  if (replica === undefined) throw new DenimError("NOT_LEADER", "This node holds no log");
  return await replica.proposeHere(command);
}

function anAgent(): DenimError {
  return new DenimError("PEER_REFUSED", "This node follows the cluster itself", {
    why: "only a server of the Raft group is followed",
  });
}

/** Its key goes with its log: one that came before would go as well. */
function stillLeaving(): DenimError {
  return new DenimError("PEER_REFUSED", "This node holds the log under another id still", {
    why: "it has not heard yet that it is out of the group under that one",
    fix: "try again in a moment",
  });
}

function notYours(): DenimError {
  return new DenimError("PEER_REFUSED", "This node may not ask for that", {
    why: "an agent writes its own lease and status only",
    fix: "run the command on a server",
  });
}
