import { DenimError } from "../base/errors.ts";
import type { Cluster, Position } from "../lease/cluster.ts";
import type { Command } from "../lease/command.ts";
import { mayPropose } from "../lease/authorize.ts";
import { isRevisioned, type StateRecord } from "../lease/records.ts";
import { nodeByRaftId, theCluster, theGroup } from "../lease/state.ts";
import type { Message } from "../raft/mod.ts";
import type { Replica } from "../replica/replica.ts";
import { Digest } from "../store/digest.ts";
import type { AppliedRecord } from "../store/load.ts";
import { Handlers, type Sink } from "../transport/handlers.ts";
import type { Hello } from "../transport/handshake.ts";
import {
  type CaDelivery,
  type ConnectedNotice,
  type FollowItem,
  type FollowRequest,
  type GroupAnswer,
  KIND,
  type LeaveRequest,
  type NodeRoutesRequest,
  PART_RECORDS,
  type ProposeRequest,
  type RaftNotice,
  type SnapshotPart,
} from "../transport/protocol.ts";
import { readAgentCommand } from "./border.ts";

/** What serving needs of the node that serves. */
export interface ServingParts {
  readonly cluster: Cluster;
  /** This node's part in Raft, if it has one now. */
  replica(): Replica | undefined;
  /** A message of the Raft group came to a node that is not in it yet: the planner calls. */
  becomeServer(raftId: number): Promise<Replica | undefined>;
  keepCaKey(caKey: string): Promise<void>;
  noteConnected(from: string, notice: ConnectedNotice): void;
  /** Another process speaks as this node. */
  noteTwin(): void;
  /** Routes of this node as its reconciler last saw them. */
  ownRoutes(): unknown;
  /** Routes of a node that is connected here, or to any server. */
  routesOf(node: string, where: "here" | "anywhere"): Promise<unknown>;
  /** Takes a node out of the group and the cluster, here or where the leader is. */
  letGo(node: string, how: LeaveRequest["how"]): Promise<void>;
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
    .request(KIND.leave, async (body) => {
      const { node, how } = body as LeaveRequest;
      const own = node === hello.nodeId && how === "leave";
      if (hello.role !== "server" && !own) throw notYours();
      await parts.letGo(node, how);
      return null;
    })
    .stream(KIND.follow, (body, sink) => {
      if (parts.replica() === undefined) throw anAgent();
      return follow(parts.cluster, body as FollowRequest, sink);
    });
  if (hello.role === "server") serveServer(parts, hello, handlers);
  return handlers;
}

function serveServer(parts: ServingParts, hello: Hello, handlers: Handlers): void {
  const incoming = new IncomingSnapshot();
  handlers
    .notice(KIND.raft, (body) => {
      const { messages } = body as RaftNotice;
      const own = messages.filter(({ from }) => speaksFor(parts, hello, from));
      if (own.length === 0) return;
      const replica = parts.replica();
      if (replica !== undefined) replica.receive(own.filter(({ to }) => to === replica.raftId));
      else if (own.some((message) => calls(parts, message))) {
        void parts.becomeServer(own[0]!.to).then((started) => started?.receive(own));
      }
    })
    .request(KIND.group, async (): Promise<GroupAnswer> => {
      const { voters, learners } = theGroup((await parts.cluster.read("linearizable")).state);
      return { members: [...voters, ...learners] };
    })
    .request(KIND.snapshot, async (body) => {
      const whole = incoming.take(body as SnapshotPart);
      if (whole === undefined) return null;
      const { offer } = whole;
      if (!speaksFor(parts, hello, offer.from)) throw notYours();
      const replica = parts.replica() ?? await parts.becomeServer(offer.to);
      if (replica === undefined || replica.raftId !== offer.to) throw notYours();
      replica.receiveSnapshot(offer, whole.capture);
      return null;
    })
    .request(KIND.ca, async (body) => {
      await parts.keepCaKey((body as CaDelivery).caKey);
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

/** Sends what the follower lacks, then what happens, for as long as it keeps up. */
async function follow(cluster: Cluster, { from }: FollowRequest, sink: Sink): Promise<void> {
  for await (const feed of cluster.follow(from, sink.signal)) {
    if (feed.kind !== "snapshot") {
      const leaderNode = cluster.view()?.leaderNode;
      const named = feed.kind === "progress" && leaderNode !== undefined;
      const item: FollowItem = named ? { ...feed, leaderNode } : feed;
      if (!sink.send(item)) return;
      continue;
    }
    const { records, position } = feed;
    for (let at = 0; at + PART_RECORDS < records.length; at += PART_RECORDS) {
      const part: FollowItem = { kind: "part", records: records.slice(at, at + PART_RECORDS) };
      if (!sink.send(part) || !await sink.room()) return;
    }
    const rest = records.slice(Math.floor((records.length - 1) / PART_RECORDS) * PART_RECORDS);
    if (!sink.send({ kind: "snapshot", position, records: rest } satisfies FollowItem)) return;
  }
}

/** Gathers the parts of one snapshot and proves the whole. */
class IncomingSnapshot {
  #transfer = "";
  #records: StateRecord[] = [];

  take(part: SnapshotPart) {
    if (part.transfer !== this.#transfer) this.#records = [];
    this.#transfer = part.transfer;
    this.#records.push(...part.records);
    if (part.end === undefined) return undefined;
    const records = this.#records;
    this.#records = [];
    const applied = part.end.applied as AppliedRecord;
    const revisioned = Digest.of(records.filter(({ table }) => isRevisioned(table)));
    const clock = Digest.of(records.filter(({ table }) => !isRevisioned(table)));
    if (revisioned.text !== applied.digest || clock.text !== applied.clockDigest) {
      throw new DenimError("PROTOCOL", "The snapshot does not have the digest that it names");
    }
    return { offer: part.end.offer, capture: { applied, chain: part.end.chain, records } };
  }
}

function anAgent(): DenimError {
  return new DenimError("PEER_REFUSED", "This node follows the cluster itself", {
    why: "only a server of the Raft group is followed",
  });
}

function notYours(): DenimError {
  return new DenimError("PEER_REFUSED", "This node may not ask for that", {
    why: "an agent writes its own lease and status only",
    fix: "run the command on a server",
  });
}
