/** A server that nobody leads asks whether it still is one. */
import t from "tap";
import { GroupCheck } from "../../../src/agent/control/group-check.ts";
import { DenimError } from "../../../src/base/errors.ts";
import type { Replica } from "../../../src/replica/replica.ts";
import type { Channel } from "../../../src/transport/channel.ts";
import { FakeClock } from "../../support/clock.ts";
import type { Test } from "../../support/tap.ts";

class Server {
  readonly clock = new FakeClock();
  readonly asked: string[] = [];
  readonly out: Replica[] = [];
  readonly hungUp: string[] = [];
  beacons: readonly string[] = [];
  leader = 0;
  /** What each of the others answers; nobody where there is nothing. */
  answers: Readonly<Record<string, readonly number[]>> = {};
  replica: Replica | undefined = {
    raftId: 3,
    status: () => ({ leader: this.leader }),
  } as unknown as Replica;

  constructor(t: Test) {
    const check = new GroupCheck({
      clock: this.clock,
      replica: () => this.replica,
      otherServers: () => ["id0", "id1"],
      mesh: { ask: (node, kind) => this.#ask(node, kind) },
      beacons: () => this.beacons,
      dial: (address) =>
        Promise.resolve({
          request: (kind: string) => this.#ask(address, kind),
          [Symbol.asyncDispose]: () => Promise.resolve(void this.hungUp.push(address)),
        } as unknown as Channel),
      onOut: (replica) => void this.out.push(replica),
    });
    t.teardown(() => check[Symbol.dispose]());
  }

  #ask(whom: string, kind: string): Promise<unknown> {
    this.asked.push(`${whom} ${kind}`);
    const members = this.answers[whom];
    if (members !== undefined) return Promise.resolve({ members });
    return Promise.reject(new DenimError("NO_LEADER", "Nobody leads"));
  }
}

t.test("who has a leader, or holds no log, asks nobody", async (t) => {
  const server = new Server(t);
  server.leader = 1;
  await server.clock.advance(60_000);
  server.leader = 0;
  server.replica = undefined;
  await server.clock.advance(60_000);
  t.same(server.asked, []);
});

t.test("an election is no reason to ask", async (t) => {
  const server = new Server(t);
  for (let i = 0; i < 10; i++) {
    server.leader = 0;
    await server.clock.advance(8_000);
    server.leader = 1;
    await server.clock.advance(4_000);
  }
  t.same(server.asked, []);
});

t.test("whoever was taken out hears so from the first that has a leader", async (t) => {
  const server = new Server(t);
  server.answers = { id1: [1, 2] };
  await server.clock.advance(13_000);
  t.same(server.asked, ["id0 group", "id1 group"]);
  t.same(server.out, [server.replica]);
});

t.test("where all that it knew are gone it asks at the addresses that it was given", async (t) => {
  const server = new Server(t);
  server.beacons = ["h8:7470", "h9:7470"];
  server.answers = { "h9:7470": [7, 8] };
  await server.clock.advance(13_000);
  t.same(server.asked, ["id0 group", "id1 group", "h8:7470 group", "h9:7470 group"]);
  t.same(server.hungUp, server.beacons);
  t.same(server.out, [server.replica]);
});

t.test("a member stays, and so does one that nobody answers; it asks again later", async (t) => {
  const server = new Server(t);
  server.answers = { id0: [1, 2, 3] };
  await server.clock.advance(13_000);
  t.same(server.asked, ["id0 group"]);
  server.answers = {};
  await server.clock.advance(13_000);
  t.equal(server.asked.length, 3);
  await server.clock.advance(13_000);
  t.equal(server.asked.length, 5);
  t.same(server.out, []);
});
