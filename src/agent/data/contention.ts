import type { Item } from "../../plan/difference.ts";
import type { Change, Outcome } from "../../plan/kernel.ts";
import { formatSubject } from "../../plan/subject.ts";
import { formatWanted } from "../../plan/text.ts";
import type { Wanted } from "../../plan/wanted.ts";

/** A network manager that starts anew takes routes away once; who does it this often goes on. */
const WARN_TIMES = 3;
const WARN_WITHIN_MS = 10 * 60_000;

/** From this rate on repairs of one thing wait for each other: somebody answers each at once. */
const SLOW_TIMES = 10;
const SLOW_WITHIN_MS = 10_000;
const SLOW_GAP_MS = 1_000;

/** What a person should know of somebody who undoes this node's work. */
export interface Undone {
  /** How often by now. */
  readonly times: number;
  readonly example: string;
}

/**
 * Whether somebody undoes what this node makes, again and again. It is made again every time, since
 * what is missing is an outage; but two programs that undo each other's work must not take a
 * processor each. Everything is counted on its own, so that nothing waits for a fight over another.
 */
export class Contention {
  /** What was in place after the last pass, as it was wanted then. */
  #standing: ReadonlyMap<string, Wanted> = new Map();
  /** The same after a pass with nothing to do, before anybody has asked for its text. */
  #unnamed: readonly Item[] | undefined;
  /** When each thing that had been there was made again. */
  readonly #repairsMs = new Map<string, readonly number[]>();
  #warnedMs = -Infinity;

  /**
   * Takes down what a pass found and did.
   *
   * @returns what is news
   */
  note(items: readonly Item[], outcomes: readonly Outcome[], nowMs: number): Undone | undefined {
    if (outcomes.length === 0 && items.every(({ state }) => state === "ok")) {
      this.#unnamed = items;
      return undefined;
    }
    this.#nameStanding();
    const made = outcomes.filter(({ change, error }) =>
      error === undefined && change.kind !== "remove"
    ).map(({ change }) => change);
    const undone = this.#undone(made);
    const tried = new Set(outcomes.map(({ change }) => formatSubject(change.item)));
    const standing = new Map<string, Wanted>();
    for (const { about, state, wanted } of items) {
      const subject = formatSubject(about);
      // What was not even tried was held back, and is as it was.
      const stood = tried.has(subject) ? undefined : this.#standing.get(subject);
      const now = state === "ok" ? wanted : wanted && stood;
      if (now !== undefined) standing.set(subject, now);
    }
    for (const { item } of made) standing.set(formatSubject(item), item);
    this.#standing = standing;
    if (undone.length === 0) return undefined;
    this.#forget(nowMs);
    const news = undone.map((subject) => this.#repaired(subject, nowMs));
    return news.find((one) => one !== undefined);
  }

  #nameStanding(): void {
    if (this.#unnamed === undefined) return;
    const named = new Map<string, Wanted>();
    for (const { about, wanted } of this.#unnamed) {
      if (wanted !== undefined) named.set(formatSubject(about), wanted);
    }
    this.#standing = named;
    this.#unnamed = undefined;
  }

  /** It is not to be made again before this; `-Infinity`: at once. */
  waitUntilMs(subject: string, nowMs: number): number {
    const recent = (this.#repairsMs.get(subject) ?? []).filter((ms) => nowMs - ms < SLOW_WITHIN_MS);
    return recent.length < SLOW_TIMES ? -Infinity : recent.at(-1)! + SLOW_GAP_MS;
  }

  /**
   * What had been made just so, and had to be made so again. Where something else is wanted by now
   * that is the reason, mostly a peer that has moved; and what is on a link goes with it.
   */
  #undone(made: readonly Change[]): string[] {
    const links = new Set(made.flatMap(({ item }) => item.kind === "link" ? [item.name] : []));
    return made.flatMap(({ item }) => {
      const subject = formatSubject(item);
      const before = this.#standing.get(subject);
      const isSame = before !== undefined && formatWanted(before) === formatWanted(item);
      return isSame && !("device" in item && links.has(item.device)) ? [subject] : [];
    });
  }

  #forget(nowMs: number): void {
    for (const [subject, times] of this.#repairsMs) {
      if (nowMs - times.at(-1)! >= WARN_WITHIN_MS) this.#repairsMs.delete(subject);
    }
  }

  #repaired(subject: string, nowMs: number): Undone | undefined {
    const before = this.#repairsMs.get(subject) ?? [];
    const times = [...before.filter((ms) => nowMs - ms < WARN_WITHIN_MS), nowMs];
    this.#repairsMs.set(subject, times);
    if (times.length < WARN_TIMES || nowMs - this.#warnedMs < WARN_WITHIN_MS) return undefined;
    this.#warnedMs = nowMs;
    return { times: times.length, example: subject };
  }
}
