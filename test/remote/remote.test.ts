/** What an agent does when its server, its connection or its copy fails. */
import t, { type Test } from "tap";
import { attributes, initCommand, joiner, LATER, OPEN_TOKEN, WALL_MS } from "../support/ledger.ts";
import { fastClock, until } from "../support/fast-clock.ts";
import { MemoryCluster } from "../support/memory-cluster.ts";
import { openPort } from "../support/cluster-port.ts";
import { testCluster } from "../support/pki.ts";
import { openServer, TestAgent } from "../support/remote-rig.ts";

const pki = await testCluster();
const CLOCK = fastClock(20);
/** Two clusters with this one are the same, down to the bytes. */
const STILL = { ...CLOCK, wallMs: () => WALL_MS };

const join = (n: number) => ({ kind: "node.join", tokenId: "open", node: joiner(n) }) as const;

async function following(t: Test, clock = CLOCK) {
  const server = await openServer(t, pki, new MemoryCluster(clock), clock);
  const agent = new TestAgent(t, clock);
  agent.servers = [server.address];
  await agent.start(t, pki);
  await until("it has a copy", () => agent.hasNode(0));
  return { server, agent };
}

t.test("a snapshot comes first, in parts where it is large; then what happens", async (t) => {
  const memory = new MemoryCluster(CLOCK);
  for (let n = 1; n <= 200; n++) memory.apply(join(n));
  const server = await openServer(t, pki, memory, CLOCK);
  const agent = new TestAgent(t, CLOCK);
  agent.servers = [server.address];
  await agent.start(t, pki);
  await until("it has a copy", () => agent.hasNode(200));
  t.equal(agent.copy.digest, memory.copy.digest);
  t.same(agent.remote.view().position, memory.view().position);
  memory.apply(join(201));
  await until("it hears of it", () => agent.hasNode(201));
  t.equal(agent.copy.digest, memory.copy.digest);
});

t.test("on a quiet cluster the copy stays confirmed", async (t) => {
  const clock = fastClock(4);
  const { agent } = await following(t, clock);
  await until("a leader confirmed it", () => agent.remote.view().leaderNode !== undefined);
  let [oldestMs, heard] = [0, 0];
  t.teardown(agent.remote.onChange(() => heard++));
  const endMs = clock.monotonicMs() + 6_000;
  await until("time has passed", () => {
    oldestMs = Math.max(oldestMs, agent.remote.view().leaderAgeMs!);
    return clock.monotonicMs() > endMs;
  });
  t.ok(oldestMs < 5_000, `${oldestMs} ms`);
  t.equal(heard, 0, "and nobody is woken for that");
});

t.test("a lost connection is followed by one that resumes", async (t) => {
  const { server, agent } = await following(t);
  const changes = server.follows.length;
  server.peers.at(-1)!.close();
  server.memory.apply(join(1));
  await until("it has caught up", () => agent.hasNode(1));
  t.equal(server.follows.length, changes + 1);
  t.ok(server.follows.at(-1) !== undefined, "not with a snapshot");
  t.equal(agent.copy.digest, server.memory.copy.digest);
});

t.test("without a server everything known stays known, and waits say why", async (t) => {
  const { server, agent } = await following(t);
  await server.close();
  await until("it is gone", () => agent.remote.channel === undefined);
  t.ok(agent.hasNode(0));
  t.ok(agent.remote.view().position.revision > 0);
  await t.rejects(agent.remote.propose(join(1), { timeoutMs: 2_000 }), {
    code: "NO_LEADER",
    why: /Cannot reach 127\.0\.0\.1/,
  });
  await t.rejects(agent.remote.read("linearizable", { timeoutMs: 500 }), { code: "NO_LEADER" });
  t.ok((await agent.remote.read("stale")).state.get("node", "id0"));
  t.equal(agent.remote.lastError?.code, "PEER_UNREACHABLE");
});

t.test("after a restart the copy is there before any server is, unconfirmed", async (t) => {
  const { server, agent } = await following(t);
  server.memory.apply(join(1));
  await until("it has it", () => agent.hasNode(1));
  await agent.stop();
  await server.close();
  agent.servers = [];
  await agent.start(t, pki);
  t.ok(agent.hasNode(1));
  t.equal(agent.remote.view().leaderAgeMs, undefined);
  t.same(agent.remote.view().position, server.memory.view().position);
  t.equal(agent.copy.digest, server.memory.copy.digest);
});

t.test("a restarted agent resumes from its disk", async (t) => {
  const { server, agent } = await following(t);
  await agent.stop();
  server.memory.apply(join(1));
  await agent.start(t, pki);
  await until("it has caught up", () => agent.hasNode(1));
  t.ok(server.follows.at(-1) !== undefined);
});

t.test("a copy that differs from the server's is fetched anew", async (t) => {
  const { server, agent } = await following(t);
  const record = agent.copy.state.get("node", "id0")!;
  const wrong = { ...record, body: { ...record.body, name: "wrong" } };
  agent.copy.take(agent.copy.feed.position.revision, [{ before: record, after: wrong }]);
  await until("it is right again", () => agent.copy.digest === server.memory.copy.digest);
  t.equal(agent.copy.state.get("node", "id0")!.body.name, "host0");
  t.equal(server.follows.at(-1), undefined, "from a snapshot");
  t.ok(agent.log.lines.some((line) => /^error .*differs from the server's/.test(line)));
});

t.test("what the connection was lost over is unknown, not undone", async (t) => {
  const { server, agent } = await following(t);
  server.memory.delayMs = 60_000;
  const asked = agent.remote.propose(join(1));
  await new Promise((resolve) => setTimeout(resolve, 50));
  server.peers.at(-1)!.close();
  await t.rejects(asked, { code: "OUTCOME_UNKNOWN" });
  server.memory.delayMs = 0;
  await until("it follows again", () => agent.remote.channel !== undefined);
  await agent.remote.propose(join(1));
  t.ok(server.memory.view().state.get("node", "id1"));
});

t.test("the next server in the list takes over, and the list is asked for anew", async (t) => {
  const memory = new MemoryCluster(CLOCK);
  const [first, second] = [
    await openServer(t, pki, memory, CLOCK),
    await openServer(t, pki, memory, CLOCK),
  ];
  const agent = new TestAgent(t, CLOCK);
  agent.servers = ["127.0.0.1:1", first.address];
  await agent.start(t, pki);
  await until("it has a copy", () => agent.hasNode(0));
  agent.servers = [second.address];
  await first.close();
  memory.apply(join(1));
  await until("it follows the other", () => agent.hasNode(1));
  t.equal(second.follows.length, 1);
});

t.test("a server without a leader is left for one that has one", async (t) => {
  const start = [initCommand(), OPEN_TOKEN];
  const [lost, led] = [new MemoryCluster(STILL, start), new MemoryCluster(STILL, start)];
  const [first, second] = [
    await openServer(t, pki, lost, CLOCK),
    await openServer(t, pki, led, CLOCK),
  ];
  const agent = new TestAgent(t, CLOCK);
  agent.servers = [first.address, second.address];
  await agent.start(t, pki);
  await until("it follows the first", () => first.follows.length === 1);
  lost.loseLeader();
  led.apply(join(1));
  await until("it has moved", () => agent.hasNode(1));
  await until("it says who leads", () => agent.remote.view().leaderNode === "id0");
  t.equal(second.follows.length, 1);
});

t.test("where nobody has a leader everybody stays", async (t) => {
  const start = [initCommand(), OPEN_TOKEN];
  const both = [new MemoryCluster(STILL, start), new MemoryCluster(STILL, start)];
  const servers = [
    await openServer(t, pki, both[0]!, CLOCK),
    await openServer(t, pki, both[1]!, CLOCK),
  ];
  const agent = new TestAgent(t, CLOCK);
  agent.servers = servers.map(({ address }) => address);
  await agent.start(t, pki);
  await until("it follows the first", () => servers[0]!.follows.length === 1);
  both.forEach((memory) => memory.loseLeader());
  await until("it has looked around", () => servers[1]!.peers.length > 0);
  await until("it has heard back", () => servers[1]!.peers[0]!.isClosed);
  t.same(servers.map(({ follows }) => follows.length), [1, 0]);
});

t.test("while nobody leads, the server's word counts on which voters are there", async (t) => {
  const memory = new MemoryCluster(fastClock(10));
  const server = await openServer(t, pki, memory);
  const agent = new TestAgent(t);
  agent.servers = [server.address];
  await agent.start(t, pki);
  await until("it follows a leader", () => agent.remote.view().leaderNode === "id0");
  t.same(agent.remote.reachable, []);
  memory.loseLeader();
  await until("it hears that there is none", () => agent.remote.view().leaderNode === undefined);
  t.same(agent.remote.reachable, ["id0"]);
  await server.close();
  await until("it has no server", () => agent.remote.channel === undefined);
  t.same(agent.remote.reachable, []);
});

t.test("a store that fails is reported once, and the copy goes on in memory", async (t) => {
  const { server, agent } = await following(t);
  agent.store.write = () => Promise.reject(new Error("the disk is full"));
  server.memory.apply(join(1));
  await until("it was reported", () => agent.failures.length > 0);
  server.memory.apply(join(2));
  await until("it goes on", () => agent.hasNode(2));
  await new Promise((resolve) => setTimeout(resolve, 250));
  t.equal(agent.failures.length, 1);
});

t.test("an agent by its certificate's word gets no more than its own", async (t) => {
  const server = await openServer(t, pki, new MemoryCluster(CLOCK), CLOCK);
  const agent = new TestAgent(t, CLOCK);
  agent.servers = [server.address];
  await agent.start(t, pki, { role: "agent" });
  await t.rejects(agent.remote.propose(join(1)), { code: "PEER_REFUSED", fix: /on a server/ });
  const other = { kind: "lease.acquire", node: "id0", attributes: attributes(1) } as const;
  await t.rejects(agent.remote.propose(other), { code: "PEER_REFUSED" });
  const own = { kind: "lease.acquire", node: "n-9", attributes: attributes(1) } as const;
  await t.rejects(agent.remote.propose(own), { code: "NOT_A_MEMBER" }, "that is a matter of state");
});

const reform = (epoch = LATER) =>
  ({ kind: "cluster.reform", epoch, reason: "recover", node: "id0" }) as const;

t.test("a later epoch's state replaces the copy, whole", async (t) => {
  const start = [initCommand(), OPEN_TOKEN];
  const [old, later] = [new MemoryCluster(STILL, start), new MemoryCluster(STILL, start)];
  old.apply(join(1));
  later.apply(reform());
  const [first, second] = [await openServer(t, pki, old, CLOCK), await openServer(t, pki, later)];
  const agent = new TestAgent(t, CLOCK);
  agent.servers = [first.address];
  await agent.start(t, pki);
  await until("it has a copy", () => agent.hasNode(1));
  agent.servers = [second.address];
  await first.close();
  await until("it has moved", () => agent.copy.epoch.n === 2);
  t.equal(agent.copy.digest, later.copy.digest);
  t.notOk(agent.hasNode(1), "what was lost there is lost here");
  await until("a leader stands behind it", () => agent.remote.leaderlessMs < 5_000);
});

t.test("an earlier epoch's, or a fork's, is not taken", async (t) => {
  const start = [initCommand(), OPEN_TOKEN, reform()];
  const [own, fork, old] = [
    new MemoryCluster(STILL, start),
    new MemoryCluster(STILL, [initCommand(), OPEN_TOKEN, reform({ n: 2, random: "cc" })]),
    new MemoryCluster(STILL, [initCommand(), OPEN_TOKEN]),
  ];
  const first = await openServer(t, pki, own, CLOCK);
  const others = [await openServer(t, pki, fork, CLOCK), await openServer(t, pki, old, CLOCK)];
  const agent = new TestAgent(t, CLOCK);
  agent.servers = [first.address];
  await agent.start(t, pki);
  await until("it has a copy", () => agent.copy.epoch.n === 2);
  agent.servers = [];
  await first.close();
  for (const other of others) {
    agent.servers = [other.address];
    await until("it was tried", () => other.follows.length > 0);
    await until("and left", () => agent.remote.lastError?.code === "EPOCH_MISMATCH");
    t.same(agent.copy.epoch, LATER);
    t.equal(agent.copy.digest, own.copy.digest);
  }
});

t.test("that it is out is not forgotten over a server that is not there", async (t) => {
  const { agent, server } = await following(t);
  t.equal(agent.remote.isOut, false);
  const refusal = { code: "NOT_A_MEMBER", message: "it left or was removed" } as const;
  const other = await openPort(t, pki, { admit: () => refusal });
  agent.servers = [other.address, "127.0.0.1:1"];
  await server.close();
  await until("it is told so", () => agent.remote.isOut);
  await until("the other one is asked", () => agent.remote.lastError?.code === "PEER_UNREACHABLE");
  t.ok(agent.remote.isOut);
  const again = await openServer(t, pki, new MemoryCluster(STILL), CLOCK);
  agent.servers = [again.address];
  await until("it follows one", () => agent.remote.channel !== undefined && !agent.remote.isOut);
});
