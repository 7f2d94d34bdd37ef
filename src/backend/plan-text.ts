import { formatPrefix } from "../ip/prefix.ts";
import { formatInvocation, type Hook, keyOfHook } from "../plan/hook.ts";
import { formatWanted } from "../plan/text.ts";
import type { Plan } from "./backend.ts";

/** A plan for people and for tests, in the words of `ip` and of shells, a line for each item. */
export function formatPlan(plan: Plan): string[] {
  return plan.map((item) => {
    if (item.kind === "hook") return formatHook(item);
    return item.kind === "left-out"
      ? `left out ${formatPrefix(item.destination)}: ${item.why}`
      : `${item.kind} ${formatWanted(item)}`;
  });
}

function formatHook(hook: Hook): string {
  const parts = (["add", "remove"] as const).flatMap((part) => {
    const invocation = hook[part];
    return invocation === undefined ? [] : [`${part}: ${formatInvocation(invocation)}`];
  });
  return `hook of ${keyOfHook(hook)}, ${parts.join("; ")}`;
}
