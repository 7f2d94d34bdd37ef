/** The checker against an order of everything, and histories that are known. */
import fc from "fast-check";
import t from "tap";
import { seededRandom } from "../../src/base/random.ts";
import { register, type RegisterOperation } from "./register.ts";
import { checkLinearizable, type Operation } from "./wgl.ts";

type Call = Operation<RegisterOperation>;

const read = (value: string): RegisterOperation => ({ kind: "read", value });
const write = (value: string): RegisterOperation => ({ kind: "write", value });
const cas = (from: string, to: string): RegisterOperation => ({ kind: "cas", from, to });
const refused = (from: string): RegisterOperation => ({ kind: "refused", from });

/** `returnedAt` absent: the outcome is unknown. */
function at(calledAt: number, returnedAt: number | undefined, what: RegisterOperation): Call {
  return { what, calledAt, returnedAt };
}

/** Tries every order of every set of operations that may have happened. */
function hasOrder(calls: readonly Call[], state = register.initial): boolean {
  if (calls.every(({ returnedAt }) => returnedAt === undefined)) return true;
  const firstReturnAt = Math.min(...calls.map(({ returnedAt }) => returnedAt ?? Infinity));
  return calls.some((call) => {
    const after = call.calledAt <= firstReturnAt ? register.step(state, call.what) : undefined;
    return after !== undefined && hasOrder(calls.filter((other) => other !== call), after);
  });
}

interface Shape {
  readonly calls: number;
  readonly values: number;
  /** Of those that are no reads. */
  readonly lostShare: number;
}

/** What five clients see of one register, in which the operations take effect one by one. */
function life(seed: number, { calls, values, lostShare }: Shape): Call[] {
  const random = seededRandom(seed);
  const number = (limit: number) => random.below(limit);
  const idleSince = [0, 0, 0, 0, 0];
  const value = () => String(number(values));
  const result: Call[] = [];
  let state = register.initial;
  for (let now = 1; result.length < calls; now++) {
    const client = number(5);
    const since = idleSince[client]!;
    if (since >= now) continue;
    const wanted = [read(state), write(value()), cas(value(), value())];
    const what = wanted[number(3)]!;
    if (what.kind !== "read" && random.fraction() < lostShare) {
      // Long ago, by a client that has given up on it since; now, or never, it takes effect.
      result.push(at(number(now), undefined, what));
      if (random.fraction() < 0.5) state = register.step(state, what) ?? state;
      continue;
    }
    const returnedAt = now + number(8);
    idleSince[client] = returnedAt + 1;
    result.push(at(since + number(now - since), returnedAt, outcome(what, state)));
    state = register.step(state, what) ?? state;
  }
  return result;
}

function outcome(what: RegisterOperation, state: string): RegisterOperation {
  return what.kind === "cas" && what.from !== state ? refused(what.from) : what;
}

/** One read, at some part of the history, found something else. */
function flip(calls: readonly Call[], part: number, value: string): Call[] {
  const reads = calls.filter(({ what }) => what.kind === "read");
  const wrong = reads[Math.floor(reads.length * part)];
  return calls.map((call) => call === wrong ? { ...call, what: read(value) } : call);
}

const whats = fc.tuple(fc.constantFrom("nil", "0", "1"), fc.constantFrom("0", "1")).chain(
  ([from, to]) => fc.constantFrom(read(from), write(to), cas(from, to), refused(from)),
);
/** Short times: most of them touch, and many overlap. */
const anyCall = fc.tuple(fc.nat(9), fc.option(fc.nat(4)), whats).map(([calledAt, lasts, what]) =>
  at(calledAt, lasts === null ? undefined : calledAt + lasts, what)
);
const shape = fc.record({
  calls: fc.integer({ min: 6, max: 10 }),
  values: fc.integer({ min: 2, max: 4 }),
  lostShare: fc.constantFrom(0, 0.4, 0.7),
});
const possible = fc.tuple(fc.nat(), shape).map(([seed, shape]) => life(seed, shape));
const nearlyPossible = fc.tuple(possible, fc.double({ min: 0, max: 0.99, noNaN: true }), fc.nat(4))
  .map(
    ([calls, part, value]) => flip(calls, part, String(value)),
  );

t.test("it finds what a trial of all orders finds", async (t) => {
  const found = { ok: 0, "not linearizable": 0, unknown: 0 };
  const histories = fc.oneof(fc.array(anyCall, { maxLength: 8 }), possible, nearlyPossible);
  fc.assert(
    fc.property(histories, (calls) => {
      const verdict = checkLinearizable(register, calls);
      found[verdict]++;
      return verdict === (hasOrder(calls) ? "ok" : "not linearizable");
    }),
    { numRuns: 15_000 },
  );
  t.ok(found.ok > 5_000 && found["not linearizable"] > 2_500, JSON.stringify(found));
});

t.test("one after another, a read sees the last write", async (t) => {
  const before = [at(1, 2, write("1")), at(3, 4, write("2"))];
  t.equal(checkLinearizable(register, [...before, at(5, 6, read("2"))]), "ok");
  t.equal(checkLinearizable(register, [...before, at(5, 6, read("1"))]), "not linearizable");
  t.equal(checkLinearizable(register, [at(1, 2, read("nil"))]), "ok", "it starts empty");
  t.equal(checkLinearizable(register, []), "ok");
});

t.test("a read during a write sees the old or the new value, and then no older one", async (t) => {
  const during = (first: string, second: string) =>
    checkLinearizable(register, [
      ...[at(0, 1, write("1")), at(2, 9, write("2"))],
      ...[at(3, 4, read(first)), at(5, 6, read(second))],
    ]);
  t.equal(during("1", "1"), "ok");
  t.equal(during("1", "2"), "ok");
  t.equal(during("2", "2"), "ok");
  t.equal(during("2", "1"), "not linearizable");
});

t.test("a lost write happens late, or never, or once", async (t) => {
  const lost = at(0, undefined, write("1"));
  const others = [at(2, 3, write("2")), at(4, 5, read("2"))];
  t.equal(checkLinearizable(register, [lost, ...others]), "ok");
  t.equal(checkLinearizable(register, [lost, ...others, at(6, 7, read("1"))]), "ok");
  const twice = [at(6, 7, read("1")), at(8, 9, write("2")), at(10, 11, read("1"))];
  t.equal(checkLinearizable(register, [lost, ...others, ...twice]), "not linearizable");
  const early = [at(0, 1, read("1")), at(2, undefined, write("1"))];
  t.equal(checkLinearizable(register, early), "not linearizable", "not before its call");
});

t.test("a lost compare-and-set is spent before a lost write that does the same", async (t) => {
  const lost = [at(0, undefined, write("2")), at(0, undefined, cas("1", "2"))];
  const calls = [
    ...[...lost, at(1, 2, write("1")), at(3, 4, read("2"))],
    ...[at(5, 6, write("3")), at(7, 8, read("2"))],
  ];
  t.equal(checkLinearizable(register, calls), "ok");
  t.equal(checkLinearizable(register, [...calls, at(9, 10, read("3"))]), "not linearizable");
});

t.test("what spends the least at first may be wrong in the end", async (t) => {
  const lost = [write("1"), cas("0", "5"), cas("5", "1")].map((what) => at(0, undefined, what));
  const calls = [
    ...[...lost, at(1, 2, write("0")), at(3, 4, read("1"))],
    ...[at(5, 6, write("3")), at(7, 8, read("1"))],
  ];
  t.equal(checkLinearizable(register, calls), "ok");
});

t.test("a compare-and-set was refused by something else", async (t) => {
  t.equal(checkLinearizable(register, [at(0, 1, write("1")), at(2, 3, refused("2"))]), "ok");
  const same = [at(0, 1, write("1")), at(2, 3, refused("1"))];
  t.equal(checkLinearizable(register, same), "not linearizable");
});

t.test("five clients with a thousand operations, many of them lost, take no time", async (t) => {
  for (const lostShare of [0, 0.02, 0.1, 0.2]) {
    const calls = life(7, { calls: 1_000, values: 5, lostShare });
    const startedMs = performance.now();
    t.equal(checkLinearizable(register, calls), "ok", `${lostShare} lost`);
    for (const part of [0.1, 0.5, 0.95]) {
      const verdict = checkLinearizable(register, flip(calls, part, "9"));
      t.equal(verdict, "not linearizable", `${lostShare} lost, a value from nowhere at ${part}`);
    }
    const tookMs = performance.now() - startedMs;
    t.ok(tookMs < 4 * 10_000, `four histories of which ${lostShare} is lost took ${tookMs} ms`);
  }
});

t.test("a value that was overwritten long ago is not read again", async (t) => {
  const calls = life(3, { calls: 1_000, values: 5, lostShare: 0 });
  const values = ["0", "1", "2", "3", "4"];
  const verdicts = values.map((value) => checkLinearizable(register, flip(calls, 0.5, value)));
  t.ok(verdicts.filter((verdict) => verdict === "not linearizable").length >= 3, String(verdicts));
});

t.test("what it cannot decide it calls unknown", async (t) => {
  const calls = life(1, { calls: 1_000, values: 5, lostShare: 0.2 });
  t.equal(checkLinearizable(register, calls, { comparisonsMax: 500 }), "unknown");
});
