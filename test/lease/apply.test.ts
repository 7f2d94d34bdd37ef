import fc from "fast-check";
import t from "tap";
import { type Canonical, canonical } from "../../src/base/canonical.ts";
import { apply, applyGroup } from "../../src/lease/apply.ts";
import { type Command, decodeEntry, encodeEntry } from "../../src/lease/command.ts";
import { State } from "../../src/lease/state.ts";
import {
  attributes,
  EPOCH,
  HOUR_MS,
  initCommand,
  joiner,
  Ledger,
  WALL_MS,
} from "../support/ledger.ts";

/** Everything that is in a state, as one text. */
function content(state: State): string {
  const records = [...state.records("revisioned"), ...state.records("clock")]
    .map((record) => canonical(record as unknown as Canonical)).sort();
  return [state.revision, state.clockMs, ...records].join("\n");
}

t.test("a refused command changes nothing but the lease clock", async (t) => {
  const ledger = Ledger.open();
  ledger.join(1);
  const [before, revision] = [content(ledger.state).split("\n").slice(2), ledger.state.revision];
  const refused: Command[] = [
    { kind: "node.join", tokenId: "none", node: joiner(2) },
    { kind: "node.join", tokenId: "open", node: joiner(2, { replace: "nobody" }) },
    { kind: "node.join", tokenId: "open", node: joiner(2, { attributes: attributes(1) }) },
    { kind: "lease.renew", node: "id1", subnets: ["10.5.9.0/24"] },
    { kind: "network.set", config: '{"Network":"10.9.0.0/16"}' },
    { kind: "node.remove", node: "nobody" },
    { ...initCommand() },
  ];
  for (const command of refused) {
    const { answer, changes } = ledger.enter(command, 10);
    t.same([answer.ok, changes], [false, []], command.kind);
  }
  t.same(content(ledger.state).split("\n").slice(2), before);
  t.equal(ledger.state.revision, revision);
  t.equal(ledger.state.clockMs, 10 * refused.length);
});

t.test("the lease clock takes only steps that can be time", async (t) => {
  const state = new State();
  const clock = (elapsedMs: number) => {
    apply(state, 1, { elapsedMs, wallMs: 0 }, { kind: "tick" });
    return state.clockMs;
  };
  t.equal(clock(5), 5);
  t.equal(clock(-100), 5);
  t.equal(clock(10 * HOUR_MS), HOUR_MS + 5);
});

t.test("a command that this program does not know stops it", async (t) => {
  const ledger = Ledger.open();
  const command = { kind: "lease.dance" } as unknown as Command;
  t.throws(() => ledger.enter(command), { message: 'unknown command "lease.dance"' });
  t.throws(() => decodeEntry('{"v":2,"at":{},"do":{"kind":"tick"}}'), {
    message: "Assertion failed: entry of version 2: this program reads 1",
  });
});

t.test("an entry's text says everything that there is to apply", async (t) => {
  const command: Command = { kind: "node.join", tokenId: "t", node: joiner(1, { wish: ["a"] }) };
  const stamp = { elapsedMs: 7, wallMs: 1_700_000_000_000 };
  t.same(decodeEntry(encodeEntry(stamp, command)), { stamp, command });
  t.throws(() => encodeEntry({ elapsedMs: 0.5, wallMs: 0 }, command), {
    message: "Assertion failed: canonical numbers are safe integers: 0.5",
  });
});

t.test("a change of the Raft group becomes a record", async (t) => {
  const ledger = Ledger.open();
  const changes = applyGroup(ledger.state, ++ledger.index, { voters: [1, 2], learners: [3] });
  t.equal(changes.length, 1);
  t.same(ledger.state.get("group", "it")?.body, { voters: [1, 2], learners: [3] });
  t.equal(ledger.state.revision, ledger.index);
});

t.test("who leaves the group gets another raft id for the next time", async (t) => {
  const ledger = Ledger.open();
  for (const n of [1, 2]) ledger.join(n, { role: "server" });
  const idOf = (n: number) => ledger.state.get("node", `id${n}`)!.body.raftId;
  const change = (voters: number[], learners: number[]) =>
    applyGroup(ledger.state, ++ledger.index, { voters, learners });
  change([1, 2], [3]);
  change([1], [2, 3]);
  t.same([idOf(0), idOf(1), idOf(2)], [1, 2, 3], "a standby stays what it is");
  change([1], [3]);
  t.same([idOf(0), idOf(1), idOf(2)], [1, 4, 3]);
  change([1], []);
  t.same([idOf(0), idOf(1), idOf(2)], [1, 4, 5]);
  t.equal(ledger.join(3, { role: "server" }).raftId, 6);
});

t.test("equal entries lead to equal states, from whatever point they are applied", async (t) => {
  const node = fc.integer({ min: 0, max: 6 });
  const command: fc.Arbitrary<Command> = fc.oneof(
    node.map((n): Command => ({ kind: "node.join", tokenId: "open", node: joiner(n) })),
    node.map((n): Command => ({ kind: "node.remove", node: `id${n}` })),
    node.map((n): Command => ({ kind: "node.leave", node: `id${n}` })),
    node.map((n): Command => ({ kind: "node.silent", node: `id${n}`, silent: n > 2 })),
    node.map((n): Command => ({
      ...{ kind: "lease.acquire", node: `id${n}`, attributes: attributes(n + 100) },
      wish: [`10.5.${n}.0/24`],
    })),
    node.map((n): Command => ({
      ...{ kind: "lease.claim", node: `id${n}`, subnets: [`10.5.${n}.0/24`] },
      ...{ attributes: attributes(n), epoch: EPOCH, revision: 1, locallyValid: false },
    } as Command)),
    node.map((n): Command => ({
      ...{ kind: "lease.expire" as const },
      leases: [{ key: `10.5.${n}.0/24`, revision: n + 2 }],
    })),
    node.map((n): Command => ({ kind: "reservation.put", subnet: `10.5.${n}.0/24` })),
    node.map((n): Command => ({ kind: "lease.move", node: `id${n}`, subnet: "10.5.6.0/24" })),
    node.map((n): Command => ({
      ...{ kind: "token.create", tokenId: "t", secretHash: "ff", role: "agent", uses: 1 },
      ...{ expiresWallMs: WALL_MS + n * HOUR_MS, subnet: `10.5.${n}.0/24` },
    })),
    node.map((n): Command => ({ kind: "node.join", tokenId: "t", node: joiner(n) })),
    fc.constant<Command>({ kind: "token.revoke", tokenId: "t" }),
    fc.constant<Command>({ kind: "tick" }),
    node.map((n): Command => ({
      kind: "cluster.fork-seen",
      ...{ epoch: EPOCH, other: { n: 1, random: `${n}` } },
    })),
    node.map((n): Command => ({
      kind: "cluster.release-hold",
      ...{ epoch: EPOCH, early: n > 2 },
    })),
    node.map((n): Command => ({ kind: "reservation.remove", subnet: `10.5.${n}.0/24` })),
  );
  const steps = fc.array(fc.tuple(command, fc.integer({ min: 0, max: HOUR_MS })), {
    maxLength: 50,
  });
  fc.assert(
    fc.property(steps, fc.nat({ max: 50 }), (steps, at) => {
      const [one, other] = [Ledger.open(), Ledger.open()];
      let late: State | undefined;
      for (const [i, [command, elapsedMs]] of steps.entries()) {
        // A third one is restored in between from records in another order.
        if (i === at) {
          const records = [...one.state.records("clock"), ...one.state.records("revisioned")];
          late = State.restore(records.reverse(), one.state);
        }
        const stamp = { elapsedMs, wallMs: one.wallMs };
        const answers = [one.enter(command, elapsedMs), other.enter(command, elapsedMs)]
          .map(({ answer }) => JSON.stringify(answer));
        if (answers[0] !== answers[1]) return false;
        if (late) apply(late, one.index, { ...stamp, wallMs: one.wallMs }, command);
      }
      return content(one.state) === content(other.state) &&
        (late === undefined || content(late) === content(one.state));
    }),
    { numRuns: 100 },
  );
  t.pass();
});
