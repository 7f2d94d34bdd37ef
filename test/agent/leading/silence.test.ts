/** Who is silent, as the leader sees it. */
import t from "tap";
import { SilenceWatch } from "../../../src/agent/leading/silence.ts";
import type { Command } from "../../../src/lease/command.ts";
import { FakeClock } from "../../support/clock.ts";
import { Ledger } from "../../support/ledger.ts";
import { RecordingLogger } from "../../support/log.ts";

class Leader {
  readonly clock = new FakeClock();
  readonly log = new RecordingLogger();
  readonly ledger = Ledger.open();
  readonly watch = new SilenceWatch({ clock: this.clock, logger: this.log });

  /** A cluster of host 0, which leads, and `count` others. */
  constructor(count: number) {
    for (let n = 1; n <= count; n++) this.ledger.join(n);
  }

  hear(...hosts: readonly number[]): void {
    this.watch.note({ nodes: hosts.map((n) => ({ node: `id${n}`, startId: `start${n}` })) });
  }

  due(): Command[] {
    return this.watch.due(this.ledger.state, "id0");
  }

  /** What is due, by node, and its effect. */
  take(): string[] {
    return this.due().map((command) => {
      this.ledger.do(command);
      if (command.kind !== "node.silent") throw new Error(command.kind);
      return `${command.node} ${command.silent ? "silent" : "back"}`;
    });
  }

  /** Time goes by while these are heard every two seconds. */
  async pass(durationMs: number, ...hosts: readonly number[]): Promise<void> {
    for (let leftMs = durationMs; leftMs > 0; leftMs -= 2_000) {
      this.hear(...hosts);
      await this.clock.advance(Math.min(2_000, leftMs));
    }
    this.hear(...hosts);
  }
}

t.test("a new leader listens for half a minute before it says anything", async (t) => {
  const leader = new Leader(4);
  await leader.pass(29_000, 1, 2, 3);
  t.same(leader.take(), []);
  await leader.pass(1_000, 1, 2, 3);
  t.same(leader.take(), ["id4 silent"]);
});

t.test("a node is silent after ten seconds, once, and back as soon as it is heard", async (t) => {
  const leader = new Leader(4);
  await leader.pass(40_000, 1, 2, 3, 4);
  await leader.pass(9_000, 1, 2, 3);
  t.same(leader.take(), []);
  await leader.pass(2_000, 1, 2, 3);
  t.same(leader.take(), ["id4 silent"]);
  await leader.pass(60_000, 1, 2, 3);
  t.same(leader.take(), []);
  leader.hear(4);
  t.same(leader.take(), ["id4 back"]);
  t.equal(leader.ledger.state.get("node", "id4")?.body.silent, undefined);
});

t.test("who was silent under the last leader is back under this one at once", async (t) => {
  const leader = new Leader(2);
  leader.ledger.do({ kind: "node.silent", node: "id1", silent: true });
  leader.hear(1);
  t.same(leader.take(), ["id1 back"]);
});

t.test("the leader itself is never silent", async (t) => {
  const leader = new Leader(1);
  await leader.pass(60_000, 1);
  t.same(leader.take(), []);
});

t.test("many at once are the network or us: none is marked, and an alarm is raised", async (t) => {
  const leader = new Leader(9);
  await leader.pass(40_000, 1, 2, 3, 4, 5, 6, 7, 8, 9);
  await leader.pass(12_000, 1, 2, 3, 4, 5);
  t.same(leader.take(), []);
  t.equal(leader.watch.alarm, true);
  const told = () => leader.log.lines.filter((line) => line.startsWith("error")).length;
  t.equal(told(), 1);
  await leader.pass(12_000, 1, 2, 3, 4, 5);
  t.same([leader.take(), told()], [[], 1]);
  await leader.pass(2_000, 1, 2, 3, 4, 5, 6, 7);
  t.same(leader.take(), ["id8 silent", "id9 silent"]);
  t.equal(leader.watch.alarm, false);
});

t.test("at once is also what is noticed within some seconds", async (t) => {
  const leader = new Leader(9);
  await leader.pass(40_000, 1, 2, 3, 4, 5, 6, 7, 8, 9);
  await leader.pass(2_000, 1, 2, 3, 4, 5, 6, 7);
  await leader.pass(2_000, 1, 2, 3, 4, 5, 6);
  await leader.pass(7_000, 1, 2, 3, 4, 5);
  t.same(leader.take(), [], "two are unheard for long enough, and two more nearly");
  t.equal(leader.watch.alarm, true);
});

t.test("at once is also what a process that ends and a cable that is cut are noticed by", async (t) => {
  const leader = new Leader(9);
  await leader.pass(40_000, 1, 2, 3, 4, 5, 6, 7, 8, 9);
  // One has closed its connection; of three others nothing is heard any more.
  await leader.pass(6_000, 1, 2, 3, 4, 5, 6, 7, 8);
  await leader.pass(4_000, 1, 2, 3, 4, 5);
  t.same(leader.take(), [], "the first is unheard for long enough, the others soon will be");
  await leader.pass(6_000, 1, 2, 3, 4, 5);
  t.same(leader.take(), []);
  t.equal(leader.watch.alarm, true);
});

t.test("in a small cluster two may go, and a third of a large one", async (t) => {
  const small = new Leader(3);
  await small.pass(40_000, 1, 2, 3);
  await small.pass(12_000, 1);
  t.same(small.take(), ["id2 silent", "id3 silent"]);
  const large = new Leader(9);
  await large.pass(40_000, 1, 2, 3, 4, 5, 6, 7, 8, 9);
  await large.pass(12_000, 1, 2, 3, 4, 5, 6);
  t.same(large.take(), ["id7 silent", "id8 silent", "id9 silent"]);
  t.equal(large.watch.alarm, false);
});

t.test("the silence of an earlier process says nothing about the one that has started", async (t) => {
  const leader = new Leader(2);
  const started = (counter: number, startId: string) =>
    leader.ledger.do({ kind: "node.update", node: "id1", incarnation: { counter, startId } });
  started(1, "first");
  await leader.pass(40_000, 2);
  const late = leader.due();
  t.same(late, [{ kind: "node.silent", node: "id1", silent: true, startId: "first" }]);
  started(2, "second");
  leader.ledger.do(late[0]!);
  t.equal(leader.ledger.state.get("node", "id1")?.body.silent, undefined);
});

t.test("a server's word is as good as the leader's own, and the newest counts", async (t) => {
  const leader = new Leader(1);
  t.equal(leader.watch.hears("id1"), false);
  leader.hear(1);
  await leader.clock.advance(9_999);
  t.equal(leader.watch.hears("id1"), true);
  await leader.clock.advance(1);
  t.equal(leader.watch.hears("id1"), false);
});
