/** What a leader keeps of the snapshots that it is sending. */
import t from "tap";
import type { SnapshotOffer } from "../../src/raft/mod.ts";
import { type OutgoingParts, OutgoingSnapshots } from "../../src/replica/outgoing.ts";
import { FakeClock } from "../support/clock.ts";
import { temporaryFolder } from "../support/folders.ts";
import { LoneServer } from "../support/lone-server.ts";
import type { Test } from "../support/tap.ts";

const MINUTE_MS = 60_000;

class Leader {
  readonly clock = new FakeClock();
  readonly server: LoneServer;
  readonly outgoing: OutgoingSnapshots;
  role = "leader";
  /** By raft id: what the follower has acknowledged. */
  readonly match = new Map<number, number>([[2, 0], [3, 0]]);

  private constructor(server: LoneServer) {
    this.server = server;
    const status = () => ({
      role: this.role,
      progress: [...this.match].map(([id, match]) => ({ id, match })),
    });
    this.outgoing = new OutgoingSnapshots({
      core: { status } as unknown as OutgoingParts["core"],
      ...{ store: server.store, copy: server.copy, clock: this.clock },
    });
  }

  static async make(t: Test): Promise<Leader> {
    const server = await LoneServer.make(temporaryFolder(t));
    t.teardown(() => server[Symbol.asyncDispose]());
    return new Leader(server);
  }

  /** The core offers its present state. */
  offer(to: number, term = 1) {
    const { index } = this.server.copy;
    const configuration = { voters: [1], learners: [2, 3] };
    const offer = { kind: "snapshot", from: 1, to, term, snapshot: { index, term, configuration } };
    return this.outgoing.prepare(offer as SnapshotOffer);
  }
}

t.test("a second attempt sends the same state, in the term of now", async (t) => {
  const leader = await Leader.make(t);
  const first = leader.offer(2, 1);
  await leader.server.join(1);
  const again = leader.offer(2, 5);
  t.equal(again.capture, first.capture);
  t.same([again.offer.term, again.offer.snapshot], [5, first.offer.snapshot]);
  t.ok(leader.offer(3).capture.applied.index > first.capture.applied.index, "another's is its own");
  const names = first.capture.records.map(({ table, key }) => `${table}/${key}`);
  t.same(names, [...names].sort(), "and every server would send it in this order");
});

t.test("the log stays from the oldest state under way on", async (t) => {
  const leader = await Leader.make(t);
  t.equal(leader.outgoing.trimmableTo, Infinity);
  const { index } = leader.offer(2).offer.snapshot;
  await leader.server.join(1);
  leader.offer(3);
  t.equal(leader.outgoing.trimmableTo, index);
  leader.match.set(2, index - 1);
  t.equal(leader.outgoing.trimmableTo, index);
  leader.match.set(2, index);
  t.equal(leader.outgoing.trimmableTo, index + 1, "the follower goes on from there");
  leader.match.delete(3);
  t.equal(leader.outgoing.trimmableTo, Infinity, "the other is in the group no more");
});

t.test("a follower that takes nothing holds nothing up for more than a minute", async (t) => {
  const leader = await Leader.make(t);
  const { index } = leader.offer(2).offer.snapshot;
  await leader.clock.advance(MINUTE_MS - 1);
  leader.outgoing.heard(2);
  await leader.clock.advance(MINUTE_MS);
  t.equal(leader.outgoing.trimmableTo, index, "it took some");
  await leader.clock.advance(1);
  t.equal(leader.outgoing.trimmableTo, Infinity);
  await leader.server.join(1);
  t.equal(leader.offer(2).offer.snapshot.index, index + 1, "later it gets the state of then");
});

t.test("a state that the log leads on from no more is not sent again", async (t) => {
  const leader = await Leader.make(t);
  const { index } = leader.offer(2).offer.snapshot;
  for (let n = 1; n <= 3; n++) await leader.server.join(n);
  await leader.server.write({ trimTo: index + 1 });
  t.equal(leader.offer(2).offer.snapshot.index, index + 3);
});

t.test("who leads no more keeps nothing", async (t) => {
  const leader = await Leader.make(t);
  leader.offer(2);
  leader.role = "follower";
  t.equal(leader.outgoing.trimmableTo, Infinity);
});
