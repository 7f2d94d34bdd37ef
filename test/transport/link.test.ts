import t from "tap";
import { DenimError } from "../../src/base/errors.ts";
import { seededRandom } from "../../src/base/random.ts";
import { Channel } from "../../src/transport/channel.ts";
import { Handlers } from "../../src/transport/handlers.ts";
import { backoffMs, Link } from "../../src/transport/link.ts";
import { SocketWire } from "../../src/transport/wire.ts";
import { FakeClock } from "../support/clock.ts";
import { socketPair, until } from "../support/sockets.ts";

t.test("the delay doubles from 100 ms to 5 s and is never quite the same", async (t) => {
  const random = seededRandom(1);
  for (const [attempts, fullMs] of [[0, 100], [1, 200], [3, 800], [6, 5_000], [99, 5_000]]) {
    for (let round = 0; round < 50; round++) {
      const delayMs = backoffMs(attempts!, random);
      t.ok(delayMs >= fullMs! / 2 && delayMs <= fullMs!, `${attempts}: ${delayMs}`);
    }
  }
});

t.test("a link comes up, goes down and comes up again", async (t) => {
  const clock = new FakeClock();
  const events: string[] = [];
  const ends: (() => void)[] = [];
  let refusals = 2;
  await using link = new Link({
    clock,
    random: seededRandom(1),
    dial: async () => {
      if (refusals-- > 0) throw new DenimError("PEER_UNREACHABLE", "nobody there");
      const [near, far] = await socketPair(t);
      ends.push(() => far.destroy());
      return new Channel(new SocketWire(near, 65_536), { clock }).start(new Handlers());
    },
    onUp: () => events.push("up"),
    onDown: (reason) => events.push(`down ${reason.code}`),
    onUnreachable: (reason, attempts) => events.push(`${reason.code} ${attempts}`),
  });
  const reach = async (count: number) => {
    for (let tries = 0; events.length < count && tries < 10_000; tries++) {
      await clock.advance(100);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  await reach(3);
  t.same(events, ["PEER_UNREACHABLE 1", "PEER_UNREACHABLE 2", "up"]);
  t.equal(link.current()?.isClosed, false);
  ends[0]!();
  await until(() => events.length === 4, "the link noticed the end");
  t.equal(link.current(), undefined);
  await reach(5);
  t.same(events.slice(3), ["down CONNECTION_LOST", "up"]);
});

t.test("a link that is disposed dials no more and closes what it has", async (t) => {
  const clock = new FakeClock();
  let dials = 0;
  const link = new Link({
    clock,
    random: seededRandom(1),
    dial: async () => {
      dials++;
      const [near] = await socketPair(t);
      return new Channel(new SocketWire(near, 65_536), { clock }).start(new Handlers());
    },
  });
  await until(() => link.current() !== undefined, "the link is up");
  const channel = link.current()!;
  const disposed = link[Symbol.asyncDispose]();
  await clock.advance(10_000);
  await disposed;
  t.equal(channel.isClosed, true);
  t.equal(dials, 1);
});
