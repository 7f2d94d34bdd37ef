import { DenimError } from "../../src/base/errors.ts";
import { Channel } from "../../src/transport/channel.ts";
import { greet, refuse } from "../../src/transport/handshake.ts";
import type { NodeIdentity } from "../../src/transport/certificate.ts";
import { cancelled } from "../../src/transport/dialer.ts";
import type { ListenerOptions } from "../../src/transport/listener.ts";
import type { RaftNotice } from "../../src/transport/protocol.ts";
import type { Transport } from "../../src/transport/transport.ts";
import type { Process } from "./process.ts";
import { connectionLost, type SimWire, wirePair } from "./wire.ts";
import type { World } from "./world.ts";

export interface NetworkMood {
  leastMs: number;
  meanMs: number;
  /** Of Raft's messages, which must bear it: lost, repeated, held up beyond others. */
  loss: number;
  repeats: number;
  delays: number;
}

interface Listener {
  readonly process: Process;
  readonly options: Omit<ListenerOptions, "credentials">;
}

export type HelloObserver = (from: Process, startId: string) => void;
export type MessageObserver = (from: Process, notice: RaftNotice) => void;

const DIAL_TIMEOUT_MS = 10_000;

/**
 * All connections between hosts. They keep order and lose nothing while they last, as TCP does;
 * only Raft's own messages, which may be lost, repeated and reordered, sometimes are.
 */
export class Network {
  readonly world: World;
  readonly wires = new Set<SimWire>();
  readonly mood: NetworkMood = { leastMs: 0.1, meanMs: 0.3, loss: 0, repeats: 0, delays: 0 };
  /** Told of Raft's messages as they leave. */
  onRaft: MessageObserver = () => {};
  /** Told of each process that greets another one. */
  onHello: HelloObserver = () => {};
  readonly #listeners = new Map<string, Listener>();
  /** `a>b`: nothing gets from a to b. */
  readonly #cut = new Set<string>();
  /** What waits for the way to be free again, in order. */
  #stuck: { readonly from: Process; readonly go: () => void }[] = [];

  constructor(world: World) {
    this.world = world;
  }

  cut(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cut.clear();
    for (const { go } of this.#stuck.splice(0)) go();
  }

  get isWhole(): boolean {
    return this.#cut.size === 0;
  }

  /** How one daemon reaches the others, and is reached at its host's address. */
  transportFor(process: Process, identity: NodeIdentity): Transport {
    return {
      dial: async (address, options) => {
        if (!process.alive) return await new Promise(() => {});
        const { clock, hello, admit, expectNodeId, signal } = options;
        const timeoutMs = options.timeoutMs ?? DIAL_TIMEOUT_MS;
        this.onHello(process, hello.incarnation.startId);
        const { wire, theirs } = await this.#connect(process, address, identity, timeoutMs, signal);
        try {
          if (!theirs.canServe || (expectNodeId ?? theirs.nodeId) !== theirs.nodeId) {
            throw new DenimError("PEER_REFUSED", `${address} is not who was wanted`);
          }
          const greeting = await greet(wire, hello, { identity: theirs, admit }, {
            clock,
            timeoutMs,
          });
          const peer = theirs.nodeId;
          return { channel: new Channel(wire, { clock, peer }), greeting, identity: theirs };
        } catch (error) {
          wire.destroy(connectionLost("it was given up"));
          throw error;
        }
      },
      listen: (options) => {
        if (!process.alive) return new Promise(() => {});
        const { address } = process.host;
        this.#listeners.set(address, { process, options });
        return Promise.resolve({
          port: options.port,
          [Symbol.asyncDispose]: () => {
            if (this.#listeners.get(address)?.process === process) this.#listeners.delete(address);
            return Promise.resolve();
          },
        });
      },
    };
  }

  /** The process is gone; where its host lives on, its peers hear so. */
  drop(process: Process, tellsPeers: boolean): void {
    for (const [address, listener] of this.#listeners) {
      if (listener.process === process) this.#listeners.delete(address);
    }
    if (!tellsPeers) this.#stuck = this.#stuck.filter(({ from }) => from !== process);
    for (const wire of [...this.wires].filter((wire) => wire.process === process)) {
      if (tellsPeers) this.hangUp(wire);
      this.wires.delete(wire);
    }
  }

  carry(from: SimWire, message: unknown): void {
    if (!from.process.alive) return;
    const notice = raftNoticeOf(message);
    if (notice !== undefined) {
      this.onRaft(from.process, notice);
      const { loss, repeats, delays } = this.mood;
      if (this.world.chance(loss)) return from.arrived();
      if (this.world.chance(repeats)) this.#later(from, message, this.world.between(0, 200));
      if (this.world.chance(delays)) {
        from.arrived();
        return this.#later(from, message, this.world.between(0, 400));
      }
    }
    this.#inOrder(from, () => {
      from.arrived();
      if (from.other.closed) return;
      from.other.process.run(() => from.other.deliver(message));
    });
  }

  hangUp(wire: SimWire): void {
    const { other } = wire;
    this.#inOrder(
      wire,
      () => other.process.run(() => other.close(connectionLost("the other side ended it"))),
    );
  }

  /** After everything that this end has sent before. */
  #inOrder(from: SimWire, arrive: () => void): void {
    const { world } = this;
    const atMs = Math.max(from.lastArrivalMs, world.nowMs + this.#delayMs());
    from.lastArrivalMs = atMs;
    world.after(atMs - world.nowMs, () => this.#pass(from.process, from.other.process, arrive));
  }

  #later(from: SimWire, message: unknown, extraMs: number): void {
    this.world.after(this.#delayMs() + extraMs, () => {
      if (this.#isCut(from.process, from.other.process) || from.other.closed) return;
      from.other.process.run(() => from.other.deliver(message));
    });
  }

  /** What meets a cut waits there: the sender's kernel goes on trying. */
  #pass(from: Process, to: Process, go: () => void): void {
    if (this.#isCut(from, to)) this.#stuck.push({ from, go });
    else go();
  }

  #isCut(from: Process, to: Process): boolean {
    return this.#cut.has(`${from.host.name}>${to.host.name}`);
  }

  #delayMs(): number {
    const { leastMs, meanMs } = this.mood;
    return leastMs - Math.log(1 - this.world.random.fraction()) * meanMs;
  }

  #connect(
    near: Process,
    address: string,
    identity: NodeIdentity,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<{ wire: SimWire; theirs: NodeIdentity }> {
    return new Promise((resolve, reject) => {
      const fail = (error: DenimError) => {
        cancel();
        signal?.removeEventListener("abort", onAbort);
        reject(error);
      };
      const onAbort = () => fail(cancelled(address));
      if (signal?.aborted) return reject(cancelled(address));
      signal?.addEventListener("abort", onAbort, { once: true });
      const cancel = near.clock.after(
        timeoutMs,
        () => fail(new DenimError("TIMEOUT", `${address} does not answer`)),
      );
      this.world.after(2 * this.#delayMs(), () => {
        const listener = this.#listeners.get(address);
        if (listener === undefined) return near.run(() => fail(unreachable(address)));
        const { process: far, options } = listener;
        if (this.#isCut(near, far) || this.#isCut(far, near) || signal?.aborted) return;
        near.run(() => {
          cancel();
          signal?.removeEventListener("abort", onAbort);
          const [a, b] = wirePair(this, near, far);
          far.run(() => void answer(b, options, identity));
          resolve({ wire: a, theirs: far.host.identity });
        });
      });
    });
  }
}

/** What a listener does with a connection whose certificate it has seen. */
async function answer(
  wire: SimWire,
  options: Listener["options"],
  identity: NodeIdentity,
): Promise<void> {
  const { clock, hello, admit, onPeer } = options;
  try {
    const greeting = await greet(wire, hello(), { identity, admit }, {
      clock,
      timeoutMs: DIAL_TIMEOUT_MS,
    });
    onPeer(new Channel(wire, { clock, peer: identity.nodeId }), greeting);
  } catch (error) {
    if (error instanceof DenimError) refuse(wire, error, clock);
    else throw error;
  }
}

function raftNoticeOf(message: unknown): RaftNotice | undefined {
  const { t, kind, body } = message as { t?: string; kind?: string; body?: unknown };
  return t === "tell" && kind === "raft" ? body as RaftNotice : undefined;
}

function unreachable(address: string): DenimError {
  return new DenimError("PEER_UNREACHABLE", `Cannot reach ${address}`, {
    why: "nothing listens there",
  });
}
