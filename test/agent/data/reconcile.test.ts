import t, { type Test } from "tap";
import { hostGw } from "../../../plugins/host-gw/mod.ts";
import { type Pass, Reconciler, type Situation } from "../../../src/agent/data/reconcile.ts";
import type { Peer } from "../../../src/backend/backend.ts";
import type { DenimError } from "../../../src/base/errors.ts";
import { parseAddress } from "../../../src/ip/address.ts";
import { formatPrefix, parsePrefix } from "../../../src/ip/prefix.ts";
import { MemoryKernel } from "../../../src/kernel/memory-kernel.ts";
import { formatSubject } from "../../../src/plan/subject.ts";
import { formatWanted } from "../../../src/plan/text.ts";
import { FakeClock } from "../../support/clock.ts";
import { hostAt, peerAt } from "../../support/hosts.ts";
import { RecordingLogger } from "../../support/log.ts";
import { route } from "../../support/routes.ts";

const host = hostAt("10.0.0.1/24");

/** Node `n` has 10.42.n.0/24 and 10.0.0.n, if nothing else is said. */
function peer(n: number, publicIp = `10.0.0.${n}`): Peer<null> {
  return peerAt(`node-${n}`, publicIp, `10.42.${n}.0/24`);
}

/** It takes something for a neighbour that the kernel does not. */
const mistaken = { ...host, onLink: [...host.onLink, parsePrefix("192.0.2.0/24")] };

const epoch = { n: 1, random: "a1" };

const sure: Situation = {
  network: parsePrefix("10.42.0.0/16"),
  backend: hostGw,
  host,
  config: null,
  own: peer(1),
  peers: [peer(2), peer(3)],
  networks: [parsePrefix("10.42.0.0/16")],
  confidence: { confirmedByLeader: true, hold: false, epoch, revision: 10, programmed: undefined },
};

function unsure(situation: Situation): Situation {
  return { ...situation, confidence: { ...situation.confidence, confirmedByLeader: false } };
}

function machine(): MemoryKernel {
  const kernel = new MemoryKernel();
  kernel.addLink("eth0", { addresses: [{ address: parseAddress("10.0.0.1"), length: 24 }] });
  return kernel;
}

/** A node that reconciles, and a test that plays cluster and machine. */
class Node {
  readonly clock = new FakeClock();
  readonly log = new RecordingLogger();
  readonly passes: Pass[] = [];
  readonly failures: DenimError[] = [];
  readonly kernel: MemoryKernel;
  readonly reconciler: Reconciler;
  situation: Situation | undefined;

  constructor(t: Test, situation: Situation | undefined, kernel = machine()) {
    this.situation = situation;
    this.kernel = kernel;
    this.reconciler = new Reconciler({
      kernel,
      clock: this.clock,
      log: this.log,
      situation: () => this.situation,
      onPass: (pass) => this.passes.push(pass),
      onFailure: (error) => this.failures.push(error),
    });
    t.teardown(() => this.reconciler[Symbol.asyncDispose]());
    this.reconciler.start();
  }

  async tell(situation: Situation): Promise<void> {
    this.situation = situation;
    this.reconciler.trigger();
    await this.clock.advance(200);
  }

  /** Our routes, as `ip` names them. */
  get routes(): string[] {
    return this.kernel.routes.filter((found) => found.protocol === 68)
      .map(formatWanted).sort();
  }
}

const TWO = ["10.42.2.0/24 via 10.0.0.2 dev eth0", "10.42.3.0/24 via 10.0.0.3 dev eth0"];

t.test("peers' routes are made, followed and taken away", async (t) => {
  const node = new Node(t, sure);
  await node.clock.advance(200);
  t.same(node.routes, TWO);
  await node.tell({ ...sure, peers: [peer(2, "10.0.0.22")] });
  t.same(node.routes, ["10.42.2.0/24 via 10.0.0.22 dev eth0"]);
  t.same(node.passes[0]?.programmed, { epoch, revision: 10 });
});

t.test("nothing known is not no routes", async (t) => {
  const kernel = machine();
  await kernel.apply([{ kind: "add", item: route("10.42.2.0/24", "10.0.0.2") }]);
  const node = new Node(t, undefined, kernel);
  await node.clock.advance(120_000);
  t.same([node.routes, node.passes.length], [["10.42.2.0/24 via 10.0.0.2 dev eth0"], 0]);
});

t.test("an unconfirmed state adds, and only a confirmed one removes", async (t) => {
  const kernel = machine();
  await kernel.apply([{ kind: "add", item: route("10.42.9.0/24", "10.0.0.9") }]);
  const node = new Node(t, unsure(sure), kernel);
  await node.clock.advance(200);
  t.same(node.routes, [...TWO, "10.42.9.0/24 via 10.0.0.9 dev eth0"]);
  t.equal(node.passes[0]?.programmed, undefined);
  await node.tell(unsure({ ...sure, peers: [] }));
  t.equal(node.routes.length, 3);
  await node.tell(sure);
  t.same(node.routes, TWO);
});

t.test("what others break is repaired at once", async (t) => {
  const node = new Node(t, sure);
  await node.clock.advance(1_000);
  node.kernel.dropRoute(parsePrefix("10.42.2.0/24"));
  await node.clock.advance(10);
  t.same(node.routes, TWO);
});

t.test("routes that went with their link come back with it", async (t) => {
  const node = new Node(t, sure);
  await node.clock.advance(1_000);
  node.kernel.setLink("eth0", "down");
  await node.clock.advance(1_000);
  t.same(node.routes, []);
  t.match(node.passes.at(-1)?.outcomes[0]?.error ?? "", /ENETDOWN/);
  node.kernel.setLink("eth0", "up");
  await node.clock.advance(200);
  t.same(node.routes, TWO);
});

t.test("without any event the slow pass finds it", async (t) => {
  const kernel = machine();
  kernel.watch = () => () => {};
  const node = new Node(t, sure, kernel);
  await node.clock.advance(1_000);
  kernel.dropRoute(parsePrefix("10.42.2.0/24"));
  await node.clock.advance(1_000);
  t.equal(node.routes.length, 1);
  await node.clock.advance(30_000);
  t.same(node.routes, TWO);
});

t.test("a burst of triggers is two passes", async (t) => {
  const node = new Node(t, sure);
  for (let i = 0; i < 50; i++) node.reconciler.trigger();
  await node.clock.advance(100);
  t.equal(node.passes.length, 2);
});

t.test("what comes after a quiet time is done at once, also several in a row", async (t) => {
  const node = new Node(t, sure);
  await node.clock.advance(10_000);
  for (let n = 4; n <= 8; n++) {
    node.situation = { ...sure, peers: [peer(n)] };
    node.reconciler.trigger();
    await node.clock.advance(0);
    t.ok(node.routes.includes(`10.42.${n}.0/24 via 10.0.0.${n} dev eth0`));
  }
  await node.clock.advance(100);
  t.same(node.routes, ["10.42.8.0/24 via 10.0.0.8 dev eth0"]);
});

/** A node long after its last pass, and how often it reads the kernel from then on. */
async function quietNode(t: Test, kernel = machine()) {
  const node = new Node(t, sure, kernel);
  await node.clock.advance(10_000);
  const reads = { count: 0 };
  const read = kernel.read.bind(kernel);
  kernel.read = () => (reads.count++, read());
  return { node, reads };
}

t.test("a new peer's route does not wait until the kernel is read, and that comes soon", async (t) => {
  const { node, reads } = await quietNode(t);
  node.situation = { ...sure, peers: [...sure.peers, peer(4)] };
  node.reconciler.trigger();
  await node.clock.advance(0);
  t.same(node.routes, [...TWO, "10.42.4.0/24 via 10.0.0.4 dev eth0"]);
  t.equal(reads.count, 0);
  await node.clock.advance(100);
  t.equal(reads.count, 1);
  const { items, outcomes } = node.passes.at(-1)!;
  t.ok(items.every(({ state }) => state === "ok"));
  t.same(outcomes.map(({ change }) => formatSubject(change.item)), ["10.42.4.0/24"]);
  await node.clock.advance(10_000);
  t.equal(reads.count, 1);
});

t.test("hosts that join without a pause do not put the reading off", async (t) => {
  const { node, reads } = await quietNode(t);
  for (let n = 4; n < 44; n++) {
    node.situation = { ...sure, peers: [...node.situation!.peers, peer(n)] };
    node.reconciler.trigger();
    await node.clock.advance(25);
  }
  await node.clock.advance(200);
  t.equal(node.routes.length, 42);
  t.ok(reads.count >= 6 && reads.count <= 11, `${reads.count} readings in a second`);
});

t.test("from memory nothing is changed or removed", async (t) => {
  const { node } = await quietNode(t);
  const moved = peer(2, "10.0.0.22");
  node.situation = { ...sure, peers: [moved, peer(3), peer(4)] };
  node.reconciler.trigger();
  await node.clock.advance(0);
  t.same(node.routes, [...TWO, "10.42.4.0/24 via 10.0.0.4 dev eth0"]);
  await node.clock.advance(100);
  t.same(node.routes, [
    "10.42.2.0/24 via 10.0.0.22 dev eth0",
    TWO[1],
    "10.42.4.0/24 via 10.0.0.4 dev eth0",
  ]);
});

t.test("where something goes as something comes, the kernel is read at once", async (t) => {
  const { node, reads } = await quietNode(t);
  node.situation = { ...sure, peers: [peer(3), peer(4)] };
  node.reconciler.trigger();
  await node.clock.advance(0);
  t.same(node.routes, [TWO[1], "10.42.4.0/24 via 10.0.0.4 dev eth0"]);
  t.equal(reads.count, 1);
});

t.test("where nothing is to be added the kernel is read at once", async (t) => {
  const { node } = await quietNode(t);
  node.situation = { ...sure, peers: [peer(3)] };
  node.reconciler.trigger();
  await node.clock.advance(0);
  t.same(node.routes, [TWO[1]]);
});

t.test("another's route that nobody told of is found when it is in the way", async (t) => {
  const kernel = machine();
  kernel.watch = () => () => {};
  const { node, reads } = await quietNode(t, kernel);
  kernel.putRoute(route("10.42.4.0/24", "10.0.0.99"), { protocol: 4 });
  kernel.putRoute({ ...route("10.42.5.0/24", "10.0.0.99"), metric: 50 }, { protocol: 4 });
  node.situation = { ...sure, peers: [...sure.peers, peer(4), peer(5)] };
  node.reconciler.trigger();
  await node.clock.advance(0);
  t.equal(reads.count, 1);
  t.same(
    node.passes.at(-1)!.conflicts.map((item) => formatSubject(item.about)),
    ["10.42.4.0/24", "10.42.5.0/24"],
  );
  const theirs = kernel.routes.filter(({ protocol }) => protocol === 4);
  t.same(theirs.map(({ destination }) => formatPrefix(destination)), [
    "10.42.4.0/24",
    "10.42.5.0/24",
  ]);
});

t.test("after any word from the kernel it is read first", async (t) => {
  const { node, reads } = await quietNode(t);
  const read = node.kernel.read;
  // The word comes while it is being read: what is read may be from before it.
  node.kernel.read = async () => {
    const state = await read();
    node.kernel.read = read;
    node.kernel.putRoute({ ...route("10.42.4.0/24", "10.0.0.99"), metric: 50 }, { protocol: 4 });
    await Promise.resolve();
    await Promise.resolve();
    return state;
  };
  await node.tell(sure);
  t.equal(reads.count, 2);
  await node.tell({ ...sure, peers: [...sure.peers, peer(4)] });
  t.same(node.routes, TWO);
  t.equal(node.passes.at(-1)!.conflicts.length, 1);
});

t.test("who asks without end gets 20 passes a second, and never two at once", async (t) => {
  const node = new Node(t, sure);
  let running = 0;
  let most = 0;
  const read = node.kernel.read.bind(node.kernel);
  node.kernel.read = async () => {
    most = Math.max(most, ++running);
    node.reconciler.trigger();
    const state = await read();
    running--;
    return state;
  };
  node.reconciler.trigger();
  await node.clock.advance(10_000);
  const before = node.passes.length;
  await node.clock.advance(10_000);
  t.equal(node.passes.length - before, 200);
  t.equal(most, 1);
});

t.test("one unreachable peer blocks nobody, and is tried again ever more slowly", async (t) => {
  const node = new Node(t, { ...sure, host: mistaken, peers: [peer(2, "192.0.2.2"), peer(3)] });
  await node.clock.advance(1);
  t.same(node.routes, ["10.42.3.0/24 via 10.0.0.3 dev eth0"]);
  const failed = () =>
    node.passes.at(-1)?.outcomes.filter((outcome) => outcome.error !== undefined).length;
  t.equal(failed(), 1);
  let tries = 0;
  const apply = node.kernel.apply.bind(node.kernel);
  node.kernel.apply = (changes) => {
    tries += changes.length;
    return apply(changes);
  };
  await node.clock.advance(16_000);
  t.equal(tries, 4);
  // A pass for another reason still shows the trouble, and does not try.
  node.reconciler.trigger();
  await node.clock.advance(200);
  t.same([tries, failed()], [4, 1]);
  t.equal(node.log.lines.filter((line) => line.startsWith("warn")).length, 1);
  node.kernel.addLink("eth1");
  await node.clock.advance(200);
  t.equal(tries, 5);
});

t.test("what the backend cannot reach is told once, and the others go on", async (t) => {
  const node = new Node(t, { ...sure, peers: [peer(2, "192.0.2.2"), peer(3)] });
  await node.clock.advance(100_000);
  t.same(node.routes, ["10.42.3.0/24 via 10.0.0.3 dev eth0"]);
  t.same(node.passes.at(-1)?.leftOut.map(({ destination }) => formatPrefix(destination)), [
    "10.42.2.0/24",
  ]);
  const told = node.log.lines.filter((line) => line.includes("Cannot route 10.42.2.0/24"));
  t.equal(told.length, 1);
});

t.test("what no backend was asked about is told beside what it cannot reach", async (t) => {
  const why = "it has another backend";
  const leftOut = [{ kind: "left-out" as const, destination: parsePrefix("10.42.9.0/24"), why }];
  const node = new Node(t, { ...sure, peers: [peer(2, "192.0.2.2"), peer(3)], leftOut });
  await node.clock.advance(200);
  t.same(node.passes.at(-1)?.leftOut.map(({ destination }) => formatPrefix(destination)), [
    ...["10.42.9.0/24", "10.42.2.0/24"],
  ]);
  t.equal(node.log.lines.filter((line) => line.includes("Cannot route 10.42.9.0/24")).length, 1);
});

t.test("another's route in the way is reported once, and yields when it goes", async (t) => {
  const kernel = machine();
  kernel.putRoute(route("10.42.2.0/24", "10.0.0.99"), { protocol: 4 });
  const node = new Node(t, sure, kernel);
  await node.clock.advance(100_000);
  t.same(node.routes, ["10.42.3.0/24 via 10.0.0.3 dev eth0"]);
  t.same(
    node.passes.at(-1)?.conflicts.map((item) => formatSubject(item.about)),
    ["10.42.2.0/24"],
  );
  t.equal(node.log.lines.filter((line) => line.includes("10.42.2.0/24")).length, 1);
  kernel.dropRoute(parsePrefix("10.42.2.0/24"));
  await node.clock.advance(200);
  t.same(node.routes, TWO);
});

t.test("what somebody takes away again and again is put back, at a pace, and told", async (t) => {
  const node = new Node(t, sure);
  await node.clock.advance(1_000);
  let repairs = 0;
  const apply = node.kernel.apply.bind(node.kernel);
  node.kernel.apply = async (changes) => {
    const outcomes = await apply(changes);
    if (changes.length > 0) {
      repairs++;
      queueMicrotask(() => node.kernel.dropRoute(parsePrefix("10.42.2.0/24")));
    }
    return outcomes;
  };
  node.kernel.dropRoute(parsePrefix("10.42.2.0/24"));
  await node.clock.advance(60_000);
  t.ok(repairs >= 50 && repairs <= 75, `${repairs} in a minute: neither given up nor a busy loop`);
  const told = node.log.lines.filter((line) => /taken away again and again/.test(line));
  t.equal(told.length, 1);
  node.kernel.apply = apply;
  await node.clock.advance(2_000);
  t.same(node.routes, TWO);
});

t.test("a plan or a kernel that fails changes nothing, and is tried again", async (t) => {
  const node = new Node(t, sure);
  await node.clock.advance(1_000);
  const read = node.kernel.read.bind(node.kernel);
  node.kernel.read = () => Promise.reject(new Error("no memory"));
  await node.tell({ ...sure, peers: [] });
  t.same([node.routes, node.failures.length], [TWO, 1]);
  node.kernel.read = read;
  await node.clock.advance(1_000);
  t.same(node.routes, []);
});

t.test("when nothing is known any more, old failures wake nobody", async (t) => {
  const node = new Node(t, { ...sure, host: mistaken, peers: [peer(2, "192.0.2.2")] });
  await node.clock.advance(1);
  let looks = 0;
  Object.defineProperty(node, "situation", { get: () => void looks++ });
  node.kernel.addLink("eth1");
  await node.clock.advance(20_000);
  t.equal(looks, 1);
});

t.test("stopping removes nothing, and nothing runs after it", async (t) => {
  const node = new Node(t, sure);
  await node.clock.advance(200);
  const before = node.passes.length;
  await node.reconciler[Symbol.asyncDispose]();
  node.kernel.dropRoute(parsePrefix("10.42.2.0/24"));
  node.reconciler.trigger();
  await node.clock.advance(100_000);
  t.same([node.routes, node.passes.length], [["10.42.3.0/24 via 10.0.0.3 dev eth0"], before]);
});
