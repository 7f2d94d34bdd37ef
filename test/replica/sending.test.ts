import t from "tap";
import type { Message } from "../../src/raft/mod.ts";
import { Sending } from "../../src/replica/sending.ts";
import type { Peers } from "../../src/replica/peers.ts";
import { FakeClock } from "../support/clock.ts";

function append(to: number, commit: number, ...indices: readonly number[]): Message {
  const entries = indices.map((index) => ({ index, term: 1, type: "normal" as const, data: "" }));
  return {
    ...{ kind: "append", from: 1, to, term: 1, previousIndex: 0, previousTerm: 0 },
    ...{ entries, commit },
  };
}

function sending() {
  const clock = new FakeClock();
  const left: string[] = [];
  const send = (messages: readonly Message[]) => {
    for (const message of messages) {
      if (message.kind !== "append") left.push(`${message.kind} to ${message.to}`);
      else left.push(`${message.entries.length} up to ${message.commit} to ${message.to}`);
    }
  };
  return { clock, left, sending: new Sending({ send } as unknown as Peers, clock) };
}

t.test("where nothing else happens, news of a commit leaves at once", async (t) => {
  const { clock, left, sending: out } = sending();
  out.send([append(2, 5), append(3, 5)]);
  t.same(left, ["0 up to 5 to 2", "0 up to 5 to 3"]);
  await clock.advance(50);
  out.send([append(2, 6)]);
  t.equal(left.at(-1), "0 up to 6 to 2");
});

t.test("under load it goes along with the next entries", async (t) => {
  const { clock, left, sending: out } = sending();
  out.send([append(2, 5), append(3, 5)]);
  await clock.advance(1);
  out.send([append(2, 6), append(3, 6)]);
  await clock.advance(1);
  out.send([append(2, 6, 7), append(3, 6, 7)]);
  await clock.advance(50);
  t.same(left.slice(2), ["1 up to 6 to 2", "1 up to 6 to 3"]);
});

t.test("where no entries follow, it is late by no more than a moment", async (t) => {
  const { clock, left, sending: out } = sending();
  out.send([append(2, 5), append(3, 5)]);
  out.send([append(2, 6), append(3, 6)]);
  out.send([append(3, 6, 7)]);
  t.same(left.slice(2), ["1 up to 6 to 3"]);
  await clock.advance(2);
  t.same(left.slice(3), ["0 up to 6 to 2"], "and only for those that have not been told");
});

t.test("nothing else ever waits, and what was halted never leaves", async (t) => {
  const { clock, left, sending: out } = sending();
  out.send([append(2, 5)]);
  const heartbeat: Message = {
    ...{ kind: "heartbeat", from: 1, to: 2, term: 1, commit: 5, readPosition: 0 },
  };
  out.send([append(2, 6), heartbeat]);
  t.same(left.slice(1), ["heartbeat to 2"]);
  out.halt();
  await clock.advance(50);
  t.same(left.slice(2), []);
});
