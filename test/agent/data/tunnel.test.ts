/** All kinds of wanted things in a kernel in memory: how sure one has to be, and what fails alone. */
import t, { type Test } from "tap";
import { type Pass, Reconciler, type Situation } from "../../../src/agent/data/reconcile.ts";
import { routeViews } from "../../../src/agent/data/route-view.ts";
import type { Peer } from "../../../src/backend/backend.ts";
import { parseAddress } from "../../../src/ip/address.ts";
import { parsePrefix } from "../../../src/ip/prefix.ts";
import { MemoryKernel } from "../../../src/kernel/memory-kernel.ts";
import type { Change } from "../../../src/plan/kernel.ts";
import { formatWanted } from "../../../src/plan/text.ts";
import { FakeClock } from "../../support/clock.ts";
import { hostAt, peerAt } from "../../support/hosts.ts";
import { neighbour } from "../../support/links.ts";
import { RecordingLogger } from "../../support/log.ts";
import { tunnel } from "../../support/tunnel-backend.ts";

type TunnelPeer = Peer<{ mac: string }>;

/** Node `n` has 10.42.n.0/24 and 10.0.0.n, if nothing else is said. */
function peer(n: number, publicIp = `10.0.0.${n}`): TunnelPeer {
  const data = { mac: `02:00:00:00:00:0${n}` };
  return { ...peerAt(`node-${n}`, publicIp, `10.42.${n}.0/24`), data };
}

const epoch = { n: 1, random: "a1" };

const sure: Situation = {
  backend: tunnel,
  network: parsePrefix("10.42.0.0/16"),
  host: hostAt("10.0.0.1/24"),
  config: { VNI: 7 },
  own: peer(1),
  peers: [peer(2), peer(3)],
  networks: [parsePrefix("10.42.0.0/16")],
  confidence: { confirmedByLeader: true, hold: false, epoch, revision: 10, programmed: undefined },
};

/** As right after a start from an old copy on disk. */
const unsure = (situation: Situation): Situation => ({
  ...situation,
  confidence: { ...situation.confidence, confirmedByLeader: false },
});

class Node {
  readonly clock = new FakeClock();
  readonly log = new RecordingLogger();
  readonly kernel = new MemoryKernel();
  readonly passes: Pass[] = [];
  readonly reconciler: Reconciler;
  situation: Situation;

  constructor(t: Test, situation: Situation) {
    this.situation = situation;
    this.kernel.addLink("eth0", { addresses: [{ address: parseAddress("10.0.0.1"), length: 24 }] });
    this.reconciler = new Reconciler({
      ...{ kernel: this.kernel, clock: this.clock, log: this.log },
      situation: () => this.situation,
      onPass: (pass) => this.passes.push(pass),
    });
    t.teardown(() => this.reconciler[Symbol.asyncDispose]());
    this.reconciler.start();
  }

  async tell(situation: Situation): Promise<void> {
    this.situation = situation;
    this.reconciler.trigger();
    await this.clock.advance(2_000);
  }

  /** Everything that a tunnel has, but the link. */
  async held(): Promise<string[]> {
    const { neighbours, forwarding, routes } = await this.kernel.read();
    return [
      ...neighbours.map(({ mac = "", ...rest }) => formatWanted({ ...rest, mac })),
      ...forwarding.map(({ remote, ...rest }) => formatWanted({ ...rest, remote: remote! })),
      ...routes.filter(({ protocol }) => protocol === 68).map(formatWanted),
    ].sort();
  }

  /** By subject, what is not as it should be. */
  get wrong(): string[] {
    return routeViews(this.passes.at(-1)!).filter(({ state }) => state !== "ok")
      .map(({ about, state }) => `${about}: ${state}`);
  }
}

const linesFor = (n: number, publicIp = `10.0.0.${n}`) => [
  `02:00:00:00:00:0${n} dev denim.7 dst ${publicIp} self permanent`,
  `10.42.${n}.0 lladdr 02:00:00:00:00:0${n} dev denim.7 nud permanent`,
  `10.42.${n}.0/24 via 10.42.${n}.0 dev denim.7 onlink`,
];

t.test("peers come, move and go", async (t) => {
  const node = new Node(t, sure);
  await node.clock.advance(2_000);
  t.same(await node.held(), [...linesFor(2), ...linesFor(3)].sort());
  t.same(node.wrong, []);
  await node.tell({ ...sure, peers: [peer(2, "10.0.0.22"), peer(4)] });
  t.same(await node.held(), [...linesFor(2, "10.0.0.22"), ...linesFor(4)].sort());
});

t.test("on the word of an old copy nothing is taken away, of any kind", async (t) => {
  const node = new Node(t, sure);
  await node.clock.advance(2_000);
  const before = await node.held();
  await node.tell(unsure({ ...sure, peers: [] }));
  await node.tell(unsure({ ...sure, peers: [peer(2, "10.0.0.99")], config: { VNI: 9 } }));
  t.same(await node.held(), before);
  t.equal(node.kernel.link("denim.7")?.detail?.tunnel?.vni, 7);
  t.equal(node.passes.at(-1)?.mode, "add-only");
  node.kernel.removeLink("denim.7");
  await node.tell(unsure(sure));
  t.same(await node.held(), before, "but what is missing is added");
  await node.tell({ ...sure, peers: [] });
  t.same(await node.held(), []);
});

t.test("a new peer's entries do not wait until the kernel is read", async (t) => {
  const node = new Node(t, sure);
  await node.clock.advance(10_000);
  let reads = 0;
  const read = node.kernel.read.bind(node.kernel);
  node.kernel.read = () => (reads++, read());
  node.situation = { ...sure, peers: [...sure.peers, peer(4)] };
  node.reconciler.trigger();
  await node.clock.advance(0);
  t.equal(reads, 0);
  t.ok((await node.held()).includes(linesFor(4)[0]!));
  await node.clock.advance(2_000);
  t.same(node.wrong, []);
});

t.test("a peer's new MAC address is everywhere at once, and the old one nowhere", async (t) => {
  const node = new Node(t, sure);
  await node.clock.advance(10_000);
  const mac = "02:00:00:00:00:99";
  node.situation = { ...sure, peers: [{ ...peer(2), data: { mac } }, peer(3)] };
  node.reconciler.trigger();
  await node.clock.advance(0);
  const other = linesFor(2).map((line) => line.replace("02:00:00:00:00:02", mac));
  t.same(await node.held(), [...other, ...linesFor(3)].sort());
});

t.test("one entry that cannot be made is named, and blocks no other", async (t) => {
  const node = new Node(t, sure);
  const apply = node.kernel.apply.bind(node.kernel);
  const isRefused = ({ item }: Change) => item.kind === "forwarding" && item.mac.endsWith(":02");
  node.kernel.apply = async (changes) => [
    ...await apply(changes.filter((change) => !isRefused(change))),
    ...changes.filter(isRefused)
      .map((change) => ({ change, error: "ENOSPC: the kernel's words" })),
  ];
  await node.clock.advance(1);
  const failed = routeViews(node.passes.at(-1)!).filter(({ state }) => state === "failed");
  t.same(failed.map(({ about, error }) => [about, error]), [
    ["forwarding 02:00:00:00:00:02 on denim.7", "ENOSPC: the kernel's words"],
  ]);
  t.equal((await node.held()).filter((line) => line.includes("10.42.3.0")).length, 2);
});

t.test("a foreign link in the way is told once, and nothing is done on it", async (t) => {
  const node = new Node(t, sure);
  const detail = { mac: "02:00:00:00:00:99", group: 0, alias: "mine" };
  node.kernel.putLink("denim.7", { detail });
  await node.clock.advance(100_000);
  t.same(node.kernel.link("denim.7")?.detail, detail);
  t.ok(node.wrong.includes("link denim.7: conflict"));
  t.equal(node.log.lines.filter((line) => line.includes("Cannot have link denim.7")).length, 1);
  node.kernel.removeLink("denim.7");
  await node.clock.advance(2_000);
  t.same(node.wrong, []);
});

t.test("what somebody takes from a link again and again is put back, at a pace", async (t) => {
  const node = new Node(t, sure);
  await node.clock.advance(2_000);
  const [entry] = [neighbour("10.42.2.0", "02:00:00:00:00:02", "denim.7")];
  let repairs = 0;
  const apply = node.kernel.apply.bind(node.kernel);
  node.kernel.apply = async (changes) => {
    const outcomes = await apply(changes);
    if (changes.some(({ item }) => item.kind === "neighbour")) {
      repairs++;
      queueMicrotask(() => node.kernel.dropEntry(entry!));
    }
    return outcomes;
  };
  node.kernel.dropEntry(entry!);
  await node.clock.advance(60_000);
  t.ok(repairs >= 50 && repairs <= 75, `${repairs} in a minute`);
  t.match(
    node.log.lines.find((line) => /taken away again and again/.test(line)) ?? "",
    /neighbour 10\.42\.2\.0 on denim\.7/,
  );
  node.kernel.apply = apply;
  await node.clock.advance(2_000);
  t.same(node.wrong, []);
});

t.test("this node's own change of a tunnel is not somebody else's doing", async (t) => {
  const node = new Node(t, sure);
  await node.clock.advance(2_000);
  for (let vni = 8; vni < 28; vni++) await node.tell({ ...sure, config: { VNI: vni } });
  t.equal(node.kernel.link("denim.7")?.detail?.tunnel?.vni, 27);
  t.same(node.wrong, []);
  t.notOk(node.log.lines.some((line) => /again and again/.test(line)));
});
