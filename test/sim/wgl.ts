/**
 * Is a history linearizable? Can its operations be put in an order in which each takes effect at
 * one moment between its call and its return, and in which the model allows every outcome?
 *
 * The question of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993), answered the way
 * of Lowe's just-in-time linearization ("Testing for Linearizability", 2017): follow the history and
 * keep every _configuration_ that can have been reached. An operation needs to have taken effect
 * only when it returns; then it does so after others that are open, or after none.
 *
 * Operations whose outcome is unknown, _lost_ ones, are what makes histories hard: they are open to
 * the end, any set of them may have happened, and of such sets there are too many. So the question
 * is asked twice. If there is no order even where a lost operation may take effect again and again,
 * there is none; and which were spent need not be known for that. If there is one among the few
 * configurations that have spent the least, there is one. Only what lies between takes a search
 * among more and more of them.
 */

/** What one object does, alone. A state is a string, so that two of them can be compared. */
export interface Model<What> {
  readonly initial: string;
  /** The state after an operation with its outcome, `undefined` if that outcome cannot be. */
  step(state: string, what: What): string | undefined;
  /** Whether no such operation ever changes the state. */
  looks(what: What): boolean;
  /** Whether it is possible in every state, and leads from each to the same one. */
  overwrites(what: What): boolean;
}

export interface Operation<What> {
  /** The operation and, when it is known, its outcome. */
  readonly what: What;
  /** Times in any unit; where a call and a return are equal the two operations overlap. */
  readonly calledAt: number;
  /** Absent: the outcome is unknown. */
  readonly returnedAt?: number | undefined;
}

export type Verdict = "ok" | "not linearizable" | "unknown";

/** What is compared with what, in all. A million take about half a second. */
const COMPARISONS_MAX = 5_000_000;
const WIDTH_FACTOR = 4;

/** `unknown` when the search has no answer after `comparisonsMax`. */
export function checkLinearizable<What>(
  model: Model<What>,
  operations: readonly Operation<What>[],
  { comparisonsMax = COMPARISONS_MAX }: { readonly comparisonsMax?: number } = {},
): Verdict {
  const events = eventsOf(operations);
  const budget = { comparisons: comparisonsMax };
  const lavish = new Search(model, { budget, width: 1, spends: false }).follow(events);
  if (lavish === "not linearizable") return lavish;
  for (let width = 1;; width *= WIDTH_FACTOR) {
    const verdict = new Search(model, { budget, width, spends: true }).follow(events);
    if (verdict !== "unknown" || budget.comparisons <= 0) return verdict;
  }
}

interface Event<What> {
  readonly at: number;
  readonly isCall: boolean;
  readonly operation: Operation<What>;
}

function eventsOf<What>(operations: readonly Operation<What>[]): Event<What>[] {
  const events = operations.flatMap((operation): Event<What>[] => {
    const { calledAt, returnedAt } = operation;
    const call = { at: calledAt, isCall: true, operation };
    return returnedAt === undefined ? [call] : [call, { at: returnedAt, isCall: false, operation }];
  });
  return events.sort((a, b) => a.at - b.at || Number(b.isCall) - Number(a.isCall));
}

interface Limits {
  readonly budget: { comparisons: number };
  /** How many configurations are kept of those that differ in nothing but what they have spent. */
  readonly width: number;
  /** Whether a lost operation takes effect once at most. */
  readonly spends: boolean;
}

/** What can have been reached at some point of the history. */
interface Configuration {
  readonly state: string;
  /** The open operations that took effect, by their bits. */
  readonly done: bigint;
  /** The lost operations that took effect, by theirs, and how many they are. */
  readonly spent: bigint;
  readonly spentCount: number;
  /** The state before, where the last step was a lost operation. */
  readonly before?: string;
}

/** An operation that was called, and that returns. */
interface Open<What> {
  readonly what: What;
  /** Free again after the return. */
  readonly bit: bigint;
}

/** The lost operations of one kind: it makes no difference which of them took effect. */
interface Lost<What> {
  readonly what: What;
  bits: bigint;
}

class Search<What> {
  readonly #model: Model<What>;
  readonly #limits: Limits;
  readonly #open = new Map<Operation<What>, Open<What>>();
  readonly #lost = new Map<string, Lost<What>>();
  /** Those that overwrite. */
  readonly #writes: Lost<What>[] = [];
  /** By state: the others that are possible in it. */
  readonly #chances = new Map<string, readonly Lost<What>[]>();
  #lostCount = 0;
  /** Whether nothing was left out that can have been reached. */
  #isWhole = true;

  constructor(model: Model<What>, limits: Limits) {
    this.#model = model;
    this.#limits = limits;
  }

  /** `unknown`: there is no order among the configurations that were kept. */
  follow(events: readonly Event<What>[]): Verdict {
    const { initial } = this.#model;
    let reached: Configuration[] = [{ state: initial, done: 0n, spent: 0n, spentCount: 0 }];
    for (const { isCall, operation } of events) {
      if (isCall) {
        this.#call(operation);
        continue;
      }
      reached = this.#return(operation, reached);
      if (this.#limits.budget.comparisons <= 0) return "unknown";
      if (reached.length === 0) return this.#isWhole ? "not linearizable" : "unknown";
    }
    return "ok";
  }

  #call(operation: Operation<What>): void {
    const { what, returnedAt } = operation;
    if (returnedAt === undefined) {
      this.#lose(what);
      return;
    }
    const taken = [...this.#open.values()].reduce((bits, { bit }) => bits | bit, 0n);
    this.#open.set(operation, { what, bit: lowest(~taken) });
  }

  #lose(what: What): void {
    const bit = 1n << BigInt(this.#lostCount++);
    const name = JSON.stringify(what);
    const known = this.#lost.get(name);
    if (known !== undefined) {
      known.bits |= bit;
      return;
    }
    const lost = { what, bits: bit };
    this.#lost.set(name, lost);
    if (this.#model.overwrites(what)) this.#writes.push(lost);
    else this.#chances.clear();
  }

  #chancesIn(state: string): readonly Lost<What>[] {
    const known = this.#chances.get(state);
    if (known !== undefined) return known;
    const chances = [...this.#lost.values()].filter(({ what }) =>
      !this.#model.overwrites(what) && this.#model.step(state, what) !== undefined
    );
    this.#chances.set(state, chances);
    return chances;
  }

  /** All that can be reached with an operation done, which returns now. */
  #return(operation: Operation<What>, reached: readonly Configuration[]): Configuration[] {
    const { bit } = this.#open.get(operation)!;
    const [without, after] = [new Antichain(this.#limits), new Antichain(this.#limits)];
    const queue: Configuration[] = [];
    const visit = (found: Configuration) => {
      const configuration = this.#look(found);
      const { state, done, spent, spentCount } = configuration;
      if ((done & bit) !== 0n) after.add({ state, done: done ^ bit, spent, spentCount });
      else if (without.add(configuration)) queue.push(configuration);
    };
    reached.forEach(visit);
    for (const configuration of queue) {
      if (this.#limits.budget.comparisons <= 0) break;
      this.#stepOpen(configuration, visit);
      this.#stepLost(configuration, visit);
    }
    this.#open.delete(operation);
    this.#isWhole &&= without.isWhole && after.isWhole;
    return after.all();
  }

  /**
   * Does all that only looks at the state and finds what it found. To do it now rather than later
   * is never wrong.
   */
  #look(configuration: Configuration): Configuration {
    const { state, spent, spentCount } = configuration;
    let { done } = configuration;
    for (const { what, bit } of this.#open.values()) {
      if (this.#model.looks(what) && this.#model.step(state, what) !== undefined) done |= bit;
    }
    return done === configuration.done ? configuration : { state, done, spent, spentCount };
  }

  #stepOpen(from: Configuration, visit: (to: Configuration) => void): void {
    const { done, spent, spentCount } = from;
    for (const { what, bit } of this.#open.values()) {
      const state = (done & bit) === 0n ? this.#after(from, what) : undefined;
      if (state !== undefined) visit({ state, done: done | bit, spent, spentCount });
    }
  }

  #stepLost(from: Configuration, visit: (to: Configuration) => void): void {
    const { state: before, done, spent, spentCount } = from;
    const states = new Set<string>();
    for (const { what, bits } of [...this.#chancesIn(before), ...this.#writes]) {
      const left = bits & ~spent;
      const state = left === 0n ? undefined : this.#after(from, what);
      if (state === undefined || state === before) continue;
      // What has its effect anywhere is better kept for later.
      if (this.#model.overwrites(what) && states.has(state)) continue;
      states.add(state);
      const to = this.#limits.spends
        ? { state, done, before, spent: spent | lowest(left), spentCount: spentCount + 1 }
        : { state, done, before, spent, spentCount };
      if (this.#isUseful(to)) visit(to);
    }
  }

  /** The state after one more operation, unless it would be the same without the lost one before. */
  #after({ state, before }: Configuration, what: What): string | undefined {
    const after = this.#model.step(state, what);
    const isSame = before !== undefined && this.#model.step(before, what) === after;
    return isSame ? undefined : after;
  }

  /** Whether there is anything to do after a lost operation that could not be done without it. */
  #isUseful(to: Configuration): boolean {
    for (const { what, bit } of this.#open.values()) {
      if ((to.done & bit) === 0n && this.#after(to, what) !== undefined) return true;
    }
    return this.#chancesIn(to.state).some(({ what, bits }) =>
      this.#after(to, what) !== undefined && (bits & ~to.spent) !== 0n
    );
  }
}

/**
 * Configurations none of which has spent all that another one has and is equal otherwise: it could
 * do nothing that the other one cannot.
 */
class Antichain {
  isWhole = true;
  readonly #limits: Limits;
  /** Those that differ in what they have spent, the fewest first. */
  readonly #groups = new Map<string, Configuration[]>();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Whether it is one of them now. */
  add(configuration: Configuration): boolean {
    const { state, done, spent, spentCount } = configuration;
    const { budget, width } = this.#limits;
    const name = `${done} ${state}`;
    const group = this.#groups.get(name) ?? [];
    budget.comparisons -= 1 + group.length;
    if (group.some((less) => (less.spent & spent) === less.spent)) return false;
    const kept = group.filter((more) => (more.spent & spent) !== spent);
    const place = kept.findLastIndex((other) => other.spentCount <= spentCount) + 1;
    kept.splice(place, 0, configuration);
    if (kept.length > width) {
      kept.pop();
      this.isWhole = false;
    }
    this.#groups.set(name, kept);
    return place < width;
  }

  all(): Configuration[] {
    return [...this.#groups.values()].flat();
  }
}

function lowest(bits: bigint): bigint {
  return bits & -bits;
}
