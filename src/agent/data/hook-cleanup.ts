import type { Programs } from "../../plan/hook.ts";
import type { HookRecord } from "./hook-record.ts";

/**
 * Undoes what programs have added, where no daemon does: peers first, the host's own subnet last, as
 * one that leaves does. What is undone is forgotten.
 *
 * @returns what is still there, each with the program's reason
 */
export async function undoHooks(record: HookRecord, programs: Programs): Promise<string[]> {
  const { signal } = new AbortController();
  const kept: string[] = [];
  const inOrder = [...record.standing].sort(([, a], [, b]) => Number(a.own) - Number(b.own));
  for (const [key, { remove }] of inOrder) {
    if (remove === undefined) continue;
    const { error } = await programs.run(remove, signal);
    if (error === undefined) await record.forget(key);
    else kept.push(`${key}: ${remove.name}: ${error}`);
  }
  return kept;
}
