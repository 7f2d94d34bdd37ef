import { formatPrefix, type Prefix } from "../ip/prefix.ts";
import { diff } from "../plan/diff.ts";
import type { Change, Kernel, KernelState, Wanted } from "../plan/kernel.ts";

/**
 * Which wanted routes may be added before the kernel is read. Reading it is the larger part of a
 * pass, and the route to a new peer need not wait for that: it may go where the kernel had nothing
 * at all when it was last read, and no word of a change has come since. Should somebody have been
 * faster, the kernel refuses the addition (CREATE|EXCL). Only additions are made from memory, and
 * each once; a pass that reads comes after them, and it alone changes or removes.
 */
export class HeadStart {
  /** Destinations that had a route, whoever's, or were wanted; `undefined`: it is not known. */
  #taken: Set<string> | undefined;
  #isStale = false;

  /** Reads the kernel on behalf of a pass that gets what is wanted there. */
  async read(kernel: Kernel, wanted: readonly Wanted[]): Promise<KernelState> {
    this.#isStale = false;
    const state = await kernel.read();
    const known = [...state.routes, ...wanted];
    this.#taken = this.#isStale ? undefined : new Set(known.map(keyOf));
    return state;
  }

  /** Something has changed in the kernel, or may have. */
  forget(): void {
    this.#isStale = true;
    this.#taken = undefined;
  }

  /** What may be added now; it is not offered again. */
  take(wanted: readonly Wanted[], networks: readonly Prefix[]): readonly Change[] {
    const taken = this.#taken;
    if (taken === undefined) return [];
    const fresh = wanted.filter((item) => !taken.has(keyOf(item)));
    for (const item of fresh) taken.add(keyOf(item));
    return diff(fresh, [], { networks, mode: "add-only" }).changes;
  }
}

function keyOf({ destination }: { readonly destination: Prefix }): string {
  return formatPrefix(destination);
}
