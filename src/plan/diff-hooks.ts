import { contains, type Prefix } from "../ip/prefix.ts";
import type { Mode } from "./confidence.ts";
import { type Hook, type Invocation, keyOfHook, OWN, type Standing } from "./hook.ts";

/** One thing to do about a subnet. */
export type HookStep =
  | {
    readonly kind: "add";
    readonly key: string;
    /** What will stand. */
    readonly standing: Standing;
    /** Undoes what stood there and is not to be kept. */
    readonly undo?: Invocation;
  }
  | { readonly kind: "remove"; readonly key: string; readonly standing: Standing };

export interface HookOptions {
  readonly mode: Mode;
  /** Subnets whose leases were claimed in this epoch: these may change in any mode. */
  readonly claimed?: readonly Prefix[];
  /** What this process has added with success: it is not added again while it stays the same. */
  readonly fresh: ReadonlySet<string>;
}

/**
 * What has to be run so that what stands is what is wanted. The rules are those of routes: what
 * stands is removed, or changed, only in mode `full`. In the other mode what was added before is
 * added again as it was, for the machine may have been started anew.
 */
export function diffHooks(
  wanted: readonly Hook[],
  standing: ReadonlyMap<string, Standing>,
  { mode, claimed = [], fresh }: HookOptions,
): readonly HookStep[] {
  const steps: HookStep[] = [];
  const keys = new Set<string>();
  for (const hook of wanted) {
    const key = keyOfHook(hook);
    if (keys.has(key)) continue;
    keys.add(key);
    const before = standing.get(key);
    const now: Standing = { own: hook.own === true, add: hook.add, remove: hook.remove };
    const isSame = before !== undefined && isSameInvocation(before.add, now.add);
    if (isSame && fresh.has(key)) continue;
    if (before === undefined || isSame) {
      steps.push({ kind: "add", key, standing: now });
      continue;
    }
    const mayChange = mode === "full" || claimed.some((block) => contains(block, hook.destination));
    if (!mayChange) {
      if (!fresh.has(key)) steps.push({ kind: "add", key, standing: before });
      continue;
    }
    // The own subnet's hook ends with the network; another subnet is told to what was begun.
    const undo = before.own ? undefined : before.remove;
    steps.push({ kind: "add", key, standing: now, ...(undo === undefined ? {} : { undo }) });
  }
  for (const [key, before] of standing) {
    if (mode === "full" && !keys.has(key)) steps.push({ kind: "remove", key, standing: before });
  }
  return steps.sort(inOrder);
}

/** What is different to nobody but a reader, or only takes longer, is not run again. */
export function isSameInvocation(a: Invocation | undefined, b: Invocation | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  const names = Object.keys(a.env);
  return a === b || (
    a.input === b.input && a.argv.length === b.argv.length &&
    a.argv.every((word, i) => word === b.argv[i]) &&
    names.length === Object.keys(b.env).length &&
    names.every((name) => a.env[name] === b.env[name])
  );
}

/** Removals first: what is added may be in the place of what goes. */
function inOrder(a: HookStep, b: HookStep): number {
  return rankOf(a) - rankOf(b) || (a.key < b.key ? -1 : 1);
}

function rankOf({ kind, key }: HookStep): number {
  return kind === "remove" ? (key === OWN ? 1 : 0) : key === OWN ? 2 : 3;
}
