import { DenimError } from "../../src/base/errors.ts";
import { join } from "node:path";
import type { Leadership } from "../../src/agent/control/following.ts";
import { IncomingSnapshots } from "../../src/agent/control/incoming.ts";
import { servePeer, type ServingParts } from "../../src/agent/control/serving.ts";
import { type Clock, every, systemClock } from "../../src/base/clock.ts";
import { seededRandom } from "../../src/base/random.ts";
import { Remote } from "../../src/remote/remote.ts";
import { Copy } from "../../src/store/copy.ts";
import { Store } from "../../src/store/store.ts";
import type { Channel } from "../../src/transport/channel.ts";
import { Handlers } from "../../src/transport/handlers.ts";
import type { Hello } from "../../src/transport/handshake.ts";
import { dialAs, openPort } from "./cluster-port.ts";
import { fastClock } from "./fast-clock.ts";
import { temporaryFolder } from "./folders.ts";
import { EPOCH, initCommand } from "./ledger.ts";
import { RecordingLogger } from "./log.ts";
import { MemoryCluster } from "./memory-cluster.ts";
import type { TestCluster } from "./pki.ts";
import type { Test } from "./tap.ts";

const PROGRESS_MS = 2_000;

/** A server's open port, with a cluster in memory behind it. */
export interface TestServer {
  readonly address: string;
  readonly memory: MemoryCluster;
  /** Connections that stand or stood. */
  readonly peers: Channel[];
  /** Where followers began, in order; `undefined`: with a snapshot. */
  readonly follows: unknown[];
  close(): Promise<void>;
}

/** A server that reaches itself, whoever leads. */
export function leadershipOf(memory: MemoryCluster): Leadership {
  const { leaderNode } = memory.view();
  return { reachable: ["id0"], ...(leaderNode === undefined ? {} : { leaderNode }) };
}

/** What serving needs where there is nobody but the cluster. */
export function partsOver(memory: MemoryCluster, more: Partial<ServingParts> = {}): ServingParts {
  return {
    cluster: memory,
    clock: systemClock(),
    // Only whether there is one is asked.
    replica: () => ({}) as ReturnType<ServingParts["replica"]>,
    becomeServer: () => Promise.resolve(undefined),
    answerAsFormer: () => {},
    capture: () => Promise.reject(new Error("nobody asks for it here")),
    leadership: () => leadershipOf(memory),
    keepCaKey: () => Promise.resolve(),
    noteConnected: () => {},
    noteTwin: () => {},
    incoming: new IncomingSnapshots(),
    ownRoutes: () => [],
    routesOf: () => Promise.resolve([]),
    letGo: () => Promise.resolve(),
    rotateCa: () => Promise.resolve(),
    signer: () => Promise.reject(new DenimError("JOIN_REFUSED", "no key is here")),
    ...more,
  };
}

export async function openServer(
  t: Test,
  pki: TestCluster,
  memory: MemoryCluster,
  clock: Clock = fastClock(10),
): Promise<TestServer> {
  const peers: Channel[] = [];
  const follows: unknown[] = [];
  const cluster = {
    propose: memory.propose.bind(memory),
    read: memory.read.bind(memory),
    view: () => memory.view(),
    onChange: memory.onChange.bind(memory),
    [Symbol.asyncDispose]: () => Promise.resolve(),
    follow(from: Parameters<MemoryCluster["follow"]>[0], signal: AbortSignal) {
      follows.push(from);
      return memory.follow(from, signal);
    },
  };
  const port = await openPort(t, pki, {
    onPeer(channel, { hello }) {
      peers.push(channel.start(servePeer({ ...partsOver(memory), cluster }, hello)));
    },
  });
  const stop = every(clock, PROGRESS_MS, () => memory.progress());
  t.teardown(stop);
  return {
    ...{ address: port.address, memory, peers, follows },
    close: () => port.listener[Symbol.asyncDispose](),
  };
}

/** An agent's side, on a disk that outlives it. */
export class TestAgent {
  readonly log = new RecordingLogger();
  readonly clock: Clock;
  readonly folder: string;
  readonly failures: Error[] = [];
  servers: readonly string[] = [];
  store!: Store;
  copy!: Copy;
  remote!: Remote;

  constructor(t: Test, clock: Clock = fastClock(10)) {
    this.clock = clock;
    this.folder = join(temporaryFolder(t), "store");
  }

  async start(t: Test, pki: TestCluster, hello: Partial<Hello> = {}): Promise<this> {
    this.store = await Store.open(this.folder);
    const { applied, records, format } = this.store.loaded;
    if (format === undefined) {
      const named = { clusterId: initCommand().clusterId, epoch: EPOCH, storeId: "store9" };
      await this.store.write({ format: { schema: 1, ...named } });
    }
    this.copy = new Copy(applied, records);
    const credentials = await pki.issue("n-9");
    this.remote = new Remote({
      ...{ store: this.store, copy: this.copy, clock: this.clock, logger: this.log },
      random: seededRandom(1),
      servers: () => this.servers,
      connect: async (address, signal) => {
        const more = { wants: "watch", ...hello } as const;
        const options = { credentials, signal, hello: pki.hello("n-9", more) };
        const { channel } = await dialAs(t, pki, "n-9", address, options);
        return channel.start(new Handlers());
      },
      onFailed: (error) => this.failures.push(error),
    });
    const { store, remote } = this;
    t.teardown(async () => {
      await remote[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    });
    return this;
  }

  async stop(): Promise<void> {
    await this.remote[Symbol.asyncDispose]();
    await this.store[Symbol.asyncDispose]();
  }

  hasNode(n: number): boolean {
    return this.copy.state.get("node", `id${n}`) !== undefined;
  }
}
