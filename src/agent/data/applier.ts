import type { Clock } from "../../base/clock.ts";
import { takesAnother } from "../../plan/diff-links.ts";
import type { Item } from "../../plan/difference.ts";
import type { Change, Kernel, Outcome } from "../../plan/kernel.ts";
import { formatSubject } from "../../plan/subject.ts";
import { formatChange } from "../../plan/text.ts";
import { Contention, type Undone } from "./contention.ts";
import { Retries } from "./retries.ts";

export interface ApplierOptions {
  readonly kernel: Pick<Kernel, "apply">;
  readonly clock: Clock;
}

/**
 * Tries changes in the kernel: what has failed not before its time, what somebody else undoes not
 * without end, and nothing on a link that could not be made. Nothing waits for another's sake but
 * for that.
 */
export class Applier {
  readonly #options: ApplierOptions;
  readonly #retries = new Retries();
  readonly #contention = new Contention();
  /** When what was held back for contention is due. */
  #heldDueMs = Infinity;

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  /** When something that was not done may be tried; `Infinity` where there is nothing. */
  get nextDueMs(): number {
    return Math.min(this.#retries.nextDueMs() ?? Infinity, this.#heldDueMs);
  }

  /** The world has changed: what failed may be tried at once. */
  hurry(): void {
    this.#retries.hurry();
  }

  /** Nothing is asked for any more. */
  forget(): void {
    this.#retries.keepOnly(new Set());
    this.#heldDueMs = Infinity;
  }

  /** @returns one outcome for each that was tried, or waits for its next try with its last error */
  async apply(changes: readonly Change[]): Promise<readonly Outcome[]> {
    this.#heldDueMs = Infinity;
    const links = changes.filter(makesLink);
    const first = links.length === 0 ? [] : await this.#try(links);
    const made = new Set(
      first.filter(({ error }) => error === undefined).map(({ change }) => change),
    );
    const missing = new Set(
      links.filter((change) => !made.has(change))
        .flatMap(({ item }) => item.kind === "link" ? [item.name] : []),
    );
    const rest = links.length === 0
      ? changes
      : changes.filter((change) => !links.includes(change) && !goesBy(change, missing));
    const outcomes = [...first, ...await this.#try(rest)];
    const failed = outcomes.filter(({ error }) => error !== undefined);
    this.#retries.keepOnly(new Set(failed.map(({ change }) => keyOf(change))));
    return outcomes;
  }

  /** Takes down what a pass found and did. @returns what is news of somebody who undoes it */
  note(items: readonly Item[], outcomes: readonly Outcome[]): Undone | undefined {
    return this.#contention.note(items, outcomes, this.#options.clock.monotonicMs());
  }

  async #try(changes: readonly Change[]): Promise<readonly Outcome[]> {
    const { kernel, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const held: Outcome[] = [];
    const due: Change[] = [];
    for (const change of changes) {
      const error = this.#retries.waiting(keyOf(change), nowMs);
      if (error !== undefined) held.push({ change, error });
      else if (this.#mayMake(change, nowMs)) due.push(change);
    }
    const tried = await kernel.apply(due);
    for (const { change, error } of tried) {
      if (error !== undefined) this.#retries.failed(keyOf(change), error, nowMs);
    }
    return [...tried, ...held];
  }

  #mayMake({ kind, item }: Change, nowMs: number): boolean {
    if (kind === "remove") return true;
    const atMs = this.#contention.waitUntilMs(formatSubject(item), nowMs);
    if (atMs <= nowMs) return true;
    this.#heldDueMs = Math.min(this.#heldDueMs, atMs);
    return false;
  }
}

/** The same change has the same text in every pass. */
export function keyOf(change: Change): string {
  return formatChange(change).join("; ");
}

/** Until that has been done there is no link for others to be on. */
function makesLink(change: Change): boolean {
  if (change.item.kind !== "link" || change.kind === "remove") return false;
  return change.kind === "add" ||
    (change.old.kind === "link" && takesAnother(change.old, change.item));
}

function goesBy({ kind, item }: Change, links: ReadonlySet<string>): boolean {
  return kind !== "remove" && "device" in item && links.has(item.device);
}
