import fc from "fast-check";
import t from "tap";
import { parsePrefix } from "../../src/ip/prefix.ts";
import { diffHooks, type HookStep } from "../../src/plan/diff-hooks.ts";
import {
  formatInvocation,
  type Hook,
  type Invocation,
  keyOfHook,
  type Standing,
} from "../../src/plan/hook.ts";

const invocation = (name: string, word: string): Invocation => ({
  ...{ name, argv: ["/bin/x", word], env: {}, input: "\n", timeoutMs: 1_000 },
});

function hook(n: number, version = "1", own = false): Hook {
  return {
    kind: "hook",
    destination: parsePrefix(`10.5.${n}.0/24`),
    add: invocation("Add", `${n}-${version}`),
    remove: invocation("Remove", `${n}-${version}`),
    ...(own ? { own } : {}),
  };
}

const standingOf = (hooks: readonly Hook[]) =>
  new Map(hooks.map((one): [string, Standing] => [keyOfHook(one), {
    ...{ own: one.own === true, add: one.add, remove: one.remove },
  }]));

const keysOf = (hooks: readonly Hook[]) => new Set(hooks.map(keyOfHook));

/** `add 10.5.1.0/24 1-1`, `undo 1-1`, `remove …`. */
function lines(steps: readonly HookStep[]): string[] {
  return steps.flatMap((step) => {
    const word = step.standing[step.kind]?.argv[1];
    const undo = step.kind === "add" && step.undo !== undefined
      ? [`undo ${step.undo.argv[1]}`]
      : [];
    return [...undo, `${step.kind} ${step.key} ${word}`];
  });
}

const full = (wanted: Hook[], stands: Hook[], fresh = stands) =>
  lines(diffHooks(wanted, standingOf(stands), { mode: "full", fresh: keysOf(fresh) }));

const careful = (wanted: Hook[], stands: Hook[], fresh: Hook[] = []) =>
  lines(diffHooks(wanted, standingOf(stands), { mode: "add-only", fresh: keysOf(fresh) }));

t.test("a peer is added once, and removed by what was true when it was added", async (t) => {
  t.same(full([hook(1)], []), ["add 10.5.1.0/24 1-1"]);
  t.same(full([hook(1)], [hook(1)]), []);
  t.same(full([], [hook(1, "old")]), ["remove 10.5.1.0/24 1-old"]);
});

t.test("a peer that is another now is removed and added", async (t) => {
  t.same(full([hook(1, "2")], [hook(1, "1")]), ["undo 1-1", "add 10.5.1.0/24 1-2"]);
});

t.test("only what is run counts: a longer time limit runs nothing again", async (t) => {
  const longer = { ...hook(1), add: { ...hook(1).add!, timeoutMs: 9_000 } };
  t.same(full([longer], [hook(1)]), []);
  const other = { ...hook(1), add: { ...hook(1).add!, input: "other\n" } };
  t.same(full([other], [hook(1)]), ["undo 1-1", "add 10.5.1.0/24 1-1"]);
  const named = { ...hook(1), add: { ...hook(1).add!, env: { SUBNET: "10.5.1.0/24" } } };
  t.same(full([named], [hook(1)]), ["undo 1-1", "add 10.5.1.0/24 1-1"]);
});

t.test("a daemon that starts adds again, and removes what has gone meanwhile", async (t) => {
  t.same(full([hook(1), hook(3)], [hook(1), hook(2)], []), [
    "remove 10.5.2.0/24 2-1",
    "add 10.5.1.0/24 1-1",
    "add 10.5.3.0/24 3-1",
  ]);
});

t.test("the own subnet comes first and goes last, and is never undone for another", async (t) => {
  const own = hook(9, "1", true);
  t.same(full([hook(1), own], []), ["add own 9-1", "add 10.5.1.0/24 1-1"]);
  t.same(full([], [own, hook(1)]), ["remove 10.5.1.0/24 1-1", "remove own 9-1"]);
  t.same(full([hook(8, "2", true)], [own]), ["add own 8-2"]);
});

t.test("what may be old neither removes nor changes", async (t) => {
  t.same(careful([], [hook(1)]), []);
  t.same(careful([hook(1, "2")], [hook(1, "1")], [hook(1)]), []);
  t.same(careful([hook(2)], []), ["add 10.5.2.0/24 2-1"]);
  t.same(careful([hook(1, "2")], [hook(1, "1")]), ["add 10.5.1.0/24 1-1"], "after a reboot");
});

t.test("in a hold, what was claimed may change", async (t) => {
  const claimed = [parsePrefix("10.5.1.0/24")];
  const steps = diffHooks([hook(1, "2"), hook(2, "2")], standingOf([hook(1), hook(2), hook(3)]), {
    ...{ mode: "add-only", claimed, fresh: keysOf([hook(1), hook(2)]) },
  });
  t.same(lines(steps), ["undo 1-1", "add 10.5.1.0/24 1-2"]);
});

t.test("an invocation is shown as somebody would type it", async (t) => {
  const { argv, ...rest } = invocation("Add", "it's");
  t.equal(
    formatInvocation({ ...rest, argv: [...argv, "a b"], env: { SUBNET: "10.5.1.0/24" } }),
    "SUBNET=10.5.1.0/24 /bin/x 'it'\\''s' 'a b'",
  );
});

const someHooks = fc.uniqueArray(
  fc.record({ n: fc.integer({ min: 0, max: 30 }), version: fc.constantFrom("1", "2") }),
  { selector: ({ n }) => n, maxLength: 20 },
).map((all) => all.map(({ n, version }) => hook(n, version)));

/** What stands after all steps have gone well. */
function after(standing: ReadonlyMap<string, Standing>, steps: readonly HookStep[]) {
  const next = new Map(standing);
  for (const step of steps) {
    if (step.kind === "add") next.set(step.key, step.standing);
    else next.delete(step.key);
  }
  return next;
}

t.test("whatever stood, then what is wanted stands, and nothing is left to do", async (t) => {
  fc.assert(fc.property(someHooks, someHooks, (wanted, stood) => {
    const before = standingOf(stood);
    const steps = diffHooks(wanted, before, { mode: "full", fresh: keysOf(stood) });
    const now = after(before, steps);
    const fresh = keysOf(wanted);
    if (diffHooks(wanted, now, { mode: "full", fresh }).length > 0) return false;
    const shuffled = diffHooks(wanted.toReversed(), before, { mode: "full", fresh: keysOf(stood) });
    const keys = steps.map(({ key }) => key);
    return String(lines(shuffled)) === String(lines(steps)) && new Set(keys).size === keys.length &&
      String([...now.keys()].sort()) === String([...keysOf(wanted)].sort());
  }));
  t.pass("for all of them");
});
