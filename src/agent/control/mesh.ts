import type { Canonical } from "../../base/canonical.ts";
import { abortAfter, type Clock } from "../../base/clock.ts";
import { DenimError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import type { Command } from "../../lease/command.ts";
import { nodeByRaftId, type StateReader } from "../../lease/state.ts";
import type { Message, SnapshotOffer } from "../../raft/mod.ts";
import type { Capture, Peers } from "../../replica/peers.ts";
import type { Channel } from "../../transport/channel.ts";
import type { Hello } from "../../transport/handshake.ts";
import { Link } from "../../transport/link.ts";
import {
  KIND,
  PART_RECORDS,
  type RaftNotice,
  type SnapshotPart,
  type SnapshotTaken,
} from "../../transport/protocol.ts";
import { snapshotName } from "./incoming.ts";
import type { Retention } from "../settings.ts";

export interface MeshOptions {
  readonly state: () => StateReader;
  /** One attempt to reach a node where its record says it listens. */
  readonly dial: (nodeId: string, address: string, signal: AbortSignal) => Promise<Channel>;
  /** Raft has to know that its messages were lost. */
  readonly onUnreachable: (raftId: number) => void;
  readonly retention?: Retention | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

interface Inbound {
  readonly channel: Channel;
  readonly startId: string;
  readonly raftId: number | undefined;
}

/** Both try again and again; after this long without news there is one of them. */
const TWIN_MS = 60_000;
const SNAPSHOT_PART_TIMEOUT_MS = 30_000;

/** All connections of a node to other nodes, found by who is at the other end. */
export class Mesh implements Peers, AsyncDisposable {
  readonly #options: MeshOptions;
  /** Connections that this node keeps up, by node. */
  readonly #links = new Map<string, Link>();
  /** Connections that others opened, by node and purpose. */
  readonly #inbound = new Map<string, Inbound>();
  #twinMs = -Infinity;

  constructor(options: MeshOptions) {
    this.#options = options;
  }

  /**
   * Takes a greeted connection. One process of a node replaces its own older connection; two
   * processes with one identity are a cloned disk, and neither is believed.
   */
  accept(channel: Channel, hello: Hello): boolean {
    const key = `${hello.nodeId}/${hello.wants}`;
    const { startId } = hello.incarnation;
    const older = this.#inbound.get(key);
    if (older !== undefined && !older.channel.isClosed && older.startId !== startId) {
      this.#options.logger.error("two processes use one node's identity; both are refused", {
        node: hello.nodeId,
        starts: `${older.startId} ${startId}`,
      });
      this.#inbound.delete(key);
      for (const { channel: twin } of [older, { channel }]) {
        twin.notify(KIND.twin, {});
        twin.close("another process uses the same identity");
      }
      return false;
    }
    if (older?.channel.isClosed === false) {
      older.channel.close("a newer connection took its place");
      // It has lost its side of that one, so most likely of this node's own to it as well.
      this.#links.get(hello.nodeId)?.current()?.abandon("the other side has connected anew");
    }
    this.#inbound.set(key, { channel, startId, raftId: hello.raftId });
    void channel.closed.then(() => {
      if (this.#inbound.get(key)?.channel === channel) this.#inbound.delete(key);
    });
    return true;
  }

  /** A server has met another process with this node's identity, and believes neither. */
  noteTwin(): void {
    const { clock, logger } = this.#options;
    if (!this.hasTwin) {
      logger.error("another host runs with this node's identity, and servers refuse both", {
        fix: "stop the one that is the copy; if its disk is to stay, give it an identity of its " +
          "own: remove its state directory, then denim join",
      });
    }
    this.#twinMs = clock.monotonicMs();
  }

  get hasTwin(): boolean {
    return this.#options.clock.monotonicMs() - this.#twinMs < TWIN_MS;
  }

  /** Sends those who follow this node to a server that still is one. */
  dismissWatchers(): void {
    for (const [key, { channel }] of this.#inbound) {
      if (key.endsWith("/watch")) channel.close("this node no longer holds the log");
    }
  }

  /** Ends every connection, without a word; those that this node keeps up come back by themselves. */
  hangUp(reason: string): void {
    for (const link of this.#links.values()) link.current()?.abandon(reason);
    for (const { channel } of this.#inbound.values()) channel.abandon(reason);
  }

  /** Keeps connections to exactly these nodes. */
  keep(nodes: ReadonlySet<string>): void {
    for (const [node, link] of this.#links) {
      if (nodes.has(node)) continue;
      this.#links.delete(node);
      void link[Symbol.asyncDispose]();
    }
    for (const node of nodes) if (!this.#links.has(node)) this.#links.set(node, this.#link(node));
  }

  /** Somebody is connected who is not to be here any more. */
  hasStrangers(isMember: (node: string) => boolean): boolean {
    return [...this.#inbound.keys()].some((key) => !isMember(nodeOf(key)));
  }

  dismissStrangers(isMember: (node: string) => boolean): void {
    for (const [key, { channel }] of this.#inbound) {
      if (!isMember(nodeOf(key))) channel.close("the node is no longer in this cluster");
    }
  }

  /** A connection to the node that is up now, whoever opened it. */
  channelTo(node: string): Channel | undefined {
    const channels = [
      this.#links.get(node)?.current(),
      this.#inbound.get(`${node}/peer`)?.channel,
      this.#inbound.get(`${node}/watch`)?.channel,
    ];
    return channels.find((channel) => channel?.isClosed === false);
  }

  /** Nodes that are connected to this one, with the process that is. */
  connected(): { readonly node: string; readonly startId: string }[] {
    const byNode = new Map<string, string>();
    for (const [key, { startId }] of this.#inbound) byNode.set(nodeOf(key), startId);
    return [...byNode].map(([node, startId]) => ({ node, startId }));
  }

  /** Asks a node that may have to be connected to first. @throws `PEER_UNREACHABLE` */
  async ask(node: string, kind: string, body: unknown, timeoutMs: number): Promise<unknown> {
    const standing = this.channelTo(node);
    if (standing !== undefined) return await standing.request(kind, body, { timeoutMs });
    const address = this.#options.state().get("node", node)?.body.address;
    if (address === undefined) throw unreachable(node);
    using limit = abortAfter(this.#options.clock, timeoutMs);
    const channel = await this.#options.dial(node, address, limit.signal);
    try {
      return await channel.request(kind, body, { timeoutMs });
    } finally {
      channel.close();
    }
  }

  send(messages: readonly Message[]): void {
    const byReceiver = Map.groupBy(messages, (message) => message.to);
    for (const [raftId, batch] of byReceiver) {
      const channel = this.#channelToRaft(raftId);
      const sent = channel?.notify(KIND.raft, { messages: batch } satisfies RaftNotice) === true;
      // Told later: the core must not be stepped while it hands its messages out.
      if (!sent) queueMicrotask(() => this.#options.onUnreachable(raftId));
    }
  }

  async sendSnapshot(
    offer: SnapshotOffer,
    capture: Capture,
    onProgress: () => void,
  ): Promise<boolean> {
    const { applied, chain, records } = capture;
    const { partRecords = PART_RECORDS } = this.#options.retention ?? {};
    const snapshot = snapshotName(capture);
    const send = (part: Omit<SnapshotPart, "snapshot">) =>
      this.#sendPart(offer.to, { snapshot, ...part });
    try {
      // Where an earlier attempt got to, if it was at this very state.
      let { at } = await send({ at: 0, records: [] });
      onProgress();
      for (;;) {
        const part = { at, records: records.slice(at, at + partRecords) };
        const next = at + part.records.length;
        const isLast = next >= records.length;
        const taken = await send({
          ...part,
          ...(isLast ? { end: { offer, applied, chain } } : {}),
        });
        if (taken.at !== next) throw new DenimError("PROTOCOL", "The receiver began anew");
        onProgress();
        if (isLast) return true;
        at = next;
      }
    } catch (error) {
      const { message } = error as Error;
      this.#options.logger.warn("a snapshot was not taken", { to: offer.to, message });
      return false;
    }
  }

  /** @throws `PEER_UNREACHABLE`, and what the channel or the other side does */
  async #sendPart(to: number, part: SnapshotPart): Promise<SnapshotTaken> {
    const channel = this.#channelToRaft(to);
    if (channel === undefined) throw unreachable(`server ${to}`);
    const options = { timeoutMs: SNAPSHOT_PART_TIMEOUT_MS };
    return await channel.request(KIND.snapshot, part, options) as SnapshotTaken;
  }

  async forward(leader: number, command: Command, timeoutMs: number): Promise<Canonical> {
    const channel = this.#channelToRaft(leader);
    if (channel === undefined) throw unreachable(`server ${leader}`);
    return await channel.request(KIND.propose, { command, here: true }, { timeoutMs }) as Canonical;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const links = [...this.#links.values()];
    this.#links.clear();
    for (const { channel } of this.#inbound.values()) channel.close("the daemon is stopping");
    await Promise.all(links.map((link) => link[Symbol.asyncDispose]()));
  }

  /** Of a server that joined after this node's copy of the state, its hello alone says the id. */
  #channelToRaft(raftId: number): Channel | undefined {
    const node = nodeByRaftId(this.#options.state(), raftId);
    if (node !== undefined) return this.channelTo(node.key);
    return [...this.#inbound.values()].find((one) => one.raftId === raftId)?.channel;
  }

  #link(node: string): Link {
    const { clock, random, logger, dial, state } = this.#options;
    return new Link({
      clock,
      random,
      dial: async (signal) => {
        const address = state().get("node", node)?.body.address;
        if (address === undefined) throw unreachable(node);
        return await dial(node, address, signal);
      },
      onDown: (reason) => logger.info("lost a server", { node, why: reason.why }),
      onUnreachable: (reason, attempts) => {
        if (attempts > 1) return;
        const { message, why } = reason;
        logger.warn("cannot reach a server", { node, message, why });
      },
    });
  }
}

/** Of a key of the inbound connections. */
function nodeOf(key: string): string {
  return key.split("/")[0]!;
}

function unreachable(node: string): DenimError {
  return new DenimError("PEER_UNREACHABLE", `There is no connection to ${node}`);
}
