import type { Prefix } from "../../ip/prefix.ts";
import { diff } from "../../plan/diff.ts";
import {
  type Change,
  EMPTY_KERNEL,
  type Kernel,
  type KernelLink,
  type KernelState,
} from "../../plan/kernel.ts";
import { type Subject, SubjectMap } from "../../plan/subject.ts";
import type { Wanted } from "../../plan/wanted.ts";

/**
 * Which wanted routes may be added before the kernel is read. Reading it is the larger part of a
 * pass, and the route to a new peer need not wait for that: it may go where the kernel had nothing
 * at all when it was last read, and no word of a change has come since. Should somebody have been
 * faster, the kernel refuses the addition (CREATE|EXCL). Only additions are made from memory, and
 * each once; a pass that reads comes after them, and it alone changes or removes.
 */
export class HeadStart {
  /** What was there, whoever's, or was wanted; `undefined`: it is not known. */
  #known: readonly Subject[] | undefined;
  /** The same, to find things in; most readings are not asked. */
  #taken: SubjectMap<Subject> | undefined;
  #links: readonly KernelLink[] = [];
  #isStale = false;
  /** How much was wanted, at the last pass and in head starts since. */
  #wanted = 0;

  /** Whether the kernel is known well enough for {@link take} to offer anything. */
  get isReady(): boolean {
    return this.#known !== undefined;
  }

  /** Reads the kernel on behalf of a pass; {@link know} says what that one wants there. */
  async read(kernel: Kernel): Promise<KernelState> {
    this.#drop();
    this.#isStale = false;
    return await kernel.read();
  }

  know({ links, neighbours, forwarding, routes }: KernelState, wanted: readonly Wanted[]): void {
    this.#drop();
    this.#links = links;
    this.#wanted = wanted.length;
    if (!this.#isStale) this.#known = [...routes, ...neighbours, ...forwarding, ...wanted];
  }

  /** Something has changed in the kernel, or may have. */
  forget(): void {
    this.#isStale = true;
    this.#drop();
  }

  /** Whether something of what is known is wanted no more: in the way of what is new, maybe. */
  lacks(wanted: readonly Wanted[]): boolean {
    return wanted.length < this.#wanted;
  }

  /** What may be added now; it is not offered again. */
  take(wanted: readonly Wanted[], networks: readonly Prefix[]): readonly Change[] {
    if (this.#known === undefined) return [];
    const taken = (this.#taken ??= mapOf(this.#known));
    const fresh = wanted.filter((item) => !taken.has(item));
    for (const item of fresh) taken.set(item, item);
    this.#wanted += fresh.length;
    const links = { ...EMPTY_KERNEL, links: this.#links };
    // A new link, what is on it and what goes by it come together, in the pass that reads.
    const early = fresh.filter(({ kind }) => kind !== "link" && kind !== "address");
    return diff(early, links, { networks, mode: "add-only" }).changes;
  }

  #drop(): void {
    this.#known = undefined;
    this.#taken = undefined;
  }
}

function mapOf(subjects: readonly Subject[]): SubjectMap<Subject> {
  const map = new SubjectMap<Subject>();
  for (const subject of subjects) map.set(subject, subject);
  return map;
}
