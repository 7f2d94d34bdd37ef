/** A server's driver and its changes: a real store, a real port, and a peer that the test plays. */
import { join } from "node:path";
import t, { type Test } from "tap";
import { ControlPlane } from "../../../src/agent/control/control-plane.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { DenimError } from "../../../src/base/errors.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { bootstrap } from "../../../src/replica/bootstrap.ts";
import { IdentityFolder } from "../../../src/store/identity.ts";
import { Store } from "../../../src/store/store.ts";
import type { Channel } from "../../../src/transport/channel.ts";
import { Handlers } from "../../../src/transport/handlers.ts";
import { KIND } from "../../../src/transport/protocol.ts";
import { dialAs } from "../../support/cluster-port.ts";
import { tlsTransport } from "../../../src/transport/tls-transport.ts";
import { until } from "../../support/fast-clock.ts";
import { temporaryFolder } from "../../support/folders.ts";
import { EPOCH, initCommand, joiner, OPEN_TOKEN, WALL_MS } from "../../support/ledger.ts";
import { RecordingLogger } from "../../support/log.ts";
import { testCluster } from "../../support/pki.ts";

const { clusterId } = initCommand();
const pki = await testCluster(clusterId);
const clock = systemClock();

class Server {
  readonly log = new RecordingLogger();
  identity!: IdentityFolder;
  store!: Store;
  plane!: ControlPlane;

  /** Host 0, the only member; host 1 has joined as a server and is played by the test. */
  static async start(t: Test): Promise<Server> {
    const server = new Server();
    const credentials = await pki.issue("id0");
    const place = temporaryFolder(t);
    server.identity = new IdentityFolder(join(place, "identity"));
    const folder = join(place, "store");
    const empty = await Store.open(folder);
    await bootstrap(empty, { elapsedMs: 0, wallMs: WALL_MS }, initCommand());
    await empty[Symbol.asyncDispose]();
    server.store = await Store.open(folder);
    server.plane = new ControlPlane({
      ...{ nodeId: "id0", clusterId, role: "server", version: "0.1.0", profile: "lan" },
      ...{
        incarnation: { counter: 1, startId: "a" },
        starts: [{ counter: 1, startId: "a" }],
        store: server.store,
        clock,
      },
      ...{ credentials, transport: tlsTransport(credentials) },
      identity: server.identity,
      listen: { host: "127.0.0.1", port: 0 },
      ...{ random: seededRandom(1), logger: server.log },
      beacons: { self: "id0", remembered: [], seeds: [] },
      isDiskLow: () => false,
      ownRoutes: () => ["mine"],
    });
    const { plane, store } = server;
    t.teardown(async () => {
      await plane[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    });
    plane.start();
    await plane.open();
    await plane.cluster.propose({ ...OPEN_TOKEN, expiresWallMs: 1e15 });
    // Its certificate is good by the real clock, which this cluster goes by.
    const node = joiner(1, { role: "server", certificateEndsWallMs: 1e15 });
    await plane.cluster.propose({ kind: "node.join", tokenId: OPEN_TOKEN.tokenId, node });
    return server;
  }

  async connect(t: Test): Promise<Channel> {
    const hello = pki.hello("id1", { clusterId, epoch: EPOCH, raftId: 2, storeId: "store1" });
    const address = `127.0.0.1:${this.plane.port}`;
    const { channel } = await dialAs(t, pki, "id1", address, { hello });
    return channel.start(new Handlers());
  }

  said(words: RegExp): boolean {
    return this.log.lines.some((line) => words.test(line));
  }
}

t.test("a server whose disk fails goes on in memory, and never holds the log again", async (t) => {
  const server = await Server.start(t);
  const peer = await server.connect(t);
  const { plane, store } = server;
  store.write = () => Promise.reject(new DenimError("STORE_FAILED", "no space"));
  await plane.cluster.propose({ kind: "token.revoke", tokenId: "open" }).catch(() => {});
  await until("it has noticed", () => plane.replica === undefined);
  t.equal(plane.storeFailure?.code, "STORE_FAILED");
  t.ok(plane.cluster.view()!.state.get("node", "id1"), "what is known stays known");
  // Its ballot may have moved on since the disk was read: it must not be used again.
  const append = { kind: "append", from: 2, to: 1, term: 9, commit: 1e9, entries: [] };
  peer.notify(KIND.raft, { messages: [{ ...append, previousIndex: 0, previousTerm: 0 }] });
  t.same(await peer.request(KIND.routes, {}), ["mine"]);
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.equal(plane.replica, undefined);
  t.notOk(server.said(/now holds the log/));
});

t.test("who is removed while connected is told, then cut off, and not let in again", async (t) => {
  const server = await Server.start(t);
  const peer = await server.connect(t);
  await server.plane.cluster.propose({ kind: "node.remove", node: "id1" });
  t.equal(peer.isClosed, false, "there is time to say so");
  await peer.closed;
  await t.rejects(server.connect(t), { code: "NOT_A_MEMBER" });
});
