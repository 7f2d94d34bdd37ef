import type { Canonical } from "../base/canonical.ts";
import { DenimError } from "../base/errors.ts";
import type { Answer } from "../lease/command.ts";

interface Waiter {
  readonly term: number;
  readonly resolve: (value: Canonical) => void;
  readonly reject: (error: DenimError) => void;
}

/** Who waits for which entry to be applied. */
export class Waiters {
  readonly #byIndex = new Map<number, Waiter>();
  /** Of the last entry that was applied. */
  #term = 0;

  /** Resolves with the answer of the entry at `index`, if it is still ours when it is applied. */
  wait(index: number, term: number): Promise<Canonical> {
    return new Promise((resolve, reject) => {
      this.#byIndex.get(index)?.reject(overwritten());
      this.#byIndex.set(index, { term, resolve, reject });
    });
  }

  /** The entry of `term` at `index` was applied. */
  settle(index: number, term: number, answer: Answer): void {
    if (term > this.#term) this.#rise(term);
    const waiter = this.#byIndex.get(index);
    if (waiter === undefined) return;
    this.#byIndex.delete(index);
    if (answer.ok) waiter.resolve(answer.value);
    else waiter.reject(DenimError.fromJSON(answer.error));
  }

  /** Terms never fall along the log: what was proposed in an earlier one has no place left. */
  #rise(term: number): void {
    this.#term = term;
    for (const [index, waiter] of [...this.#byIndex]) {
      if (waiter.term < term) this.#reject(index, overwritten());
    }
  }

  /** A snapshot went past these entries: nobody here can say what became of them. */
  passOver(index: number): void {
    for (const waiting of [...this.#byIndex.keys()]) {
      if (waiting <= index) this.#reject(waiting, unknownOutcome("a snapshot went past it"));
    }
  }

  failAll(error: DenimError): void {
    for (const waiting of [...this.#byIndex.keys()]) this.#reject(waiting, error);
  }

  #reject(index: number, error: DenimError): void {
    this.#byIndex.get(index)?.reject(error);
    this.#byIndex.delete(index);
  }
}

export function unknownOutcome(why: string): DenimError {
  return new DenimError("OUTCOME_UNKNOWN", "The change may or may not have been made", {
    why,
    fix: "look before you repeat it: denim event, denim status",
  });
}

/** The entry lost its place to another leader's: it was not applied and may be proposed again. */
function overwritten(): DenimError {
  return new DenimError("NOT_LEADER", "Another leader took over before the change was made");
}
