import t from "tap";
import { decodeEntry } from "../../src/lease/command.ts";
import type { ProposeResult, Raft } from "../../src/raft/mod.ts";
import { Call } from "../../src/replica/call.ts";
import { Proposals } from "../../src/replica/proposals.ts";
import { Waiters } from "../../src/replica/waiters.ts";
import type { Copy } from "../../src/store/copy.ts";
import { FakeClock } from "../support/clock.ts";
import { Ledger } from "../support/ledger.ts";

/** A leader's core that says what it is told to say, and keeps what it was given. */
class FakeCore {
  readonly role = "leader";
  readonly term = 1;
  readonly proposed: string[][] = [];
  result: ProposeResult = { kind: "accepted", firstIndex: 1, term: 1 };

  propose(texts: string[]): ProposeResult {
    this.proposed.push(texts);
    return this.result;
  }
}

function proposals() {
  const [clock, core] = [new FakeClock(), new FakeCore()];
  const { state } = Ledger.open();
  const made = new Proposals({
    ...{ clock, waiters: new Waiters() },
    core: core as unknown as Raft,
    copy: { state } as Copy,
  });
  made.look();
  const propose = () => made.command({ kind: "tick" }, new Call(clock));
  return { clock, core, propose, place: () => made.place() };
}

t.test("what has come since the last turn is placed together, its time once", async (t) => {
  const { clock, core, propose, place } = proposals();
  await clock.advance(40);
  const answers = [propose(), propose()];
  await clock.advance(2);
  answers.push(propose());
  for (const answer of answers) answer.catch(() => {});
  place();
  t.equal(core.proposed.length, 1);
  t.same(core.proposed[0]!.map((text) => decodeEntry(text).stamp.elapsedMs), [40, 0, 2]);
  place();
  t.equal(core.proposed.length, 1, "nothing is placed twice");
});

t.test("the time of what was refused counts with the next entry", async (t) => {
  const { clock, core, propose, place } = proposals();
  core.result = { kind: "overloaded" };
  await clock.advance(30);
  const refused = [propose(), propose()];
  place();
  for (const answer of refused) await t.rejects(answer, { code: "OVERLOADED" });
  core.result = { kind: "accepted", firstIndex: 1, term: 1 };
  await clock.advance(5);
  propose().catch(() => {});
  place();
  t.same(core.proposed.at(-1)!.map((text) => decodeEntry(text).stamp.elapsedMs), [35]);
});
