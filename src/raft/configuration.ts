import { assert } from "../base/errors.ts";

/** Who holds the log. Both lists are sorted and have nobody in common. */
export interface Configuration {
  /** Whose votes and acknowledgements count. */
  readonly voters: readonly number[];
  /** Who gets the log without counting (Raft thesis, section 4.2.1). */
  readonly learners: readonly number[];
}

/**
 * One step from a configuration to the next. Two neighbours differ by at most one voter, so their
 * majorities overlap (Raft thesis, section 4.1).
 */
export interface Change {
  /** `update` changes nothing here; it exists to carry a `context` through the log. */
  readonly kind: "add-voter" | "add-learner" | "remove" | "update";
  readonly id: number;
  /** Text of the proposer's, carried along unread. */
  readonly context?: string;
}

export const EMPTY_CONFIGURATION: Configuration = { voters: [], learners: [] };

/**
 * The configuration after a change, or `undefined` where the change is refused: it would leave no
 * voter, or names no possible server. Adding who is there already, and removing who is not, are
 * changes without effect, so that one entry may be applied twice.
 */
export function changed(from: Configuration, change: Change): Configuration | undefined {
  if (!isId(change.id)) return undefined;
  const without = (ids: readonly number[]) => ids.filter((id) => id !== change.id);
  const [voters, learners] = [without(from.voters), without(from.learners)];
  switch (change.kind) {
    case "add-voter":
      return { voters: sorted([...voters, change.id]), learners };
    case "add-learner":
      return voters.length === 0
        ? undefined
        : { voters, learners: sorted([...learners, change.id]) };
    case "remove":
      return voters.length === 0 ? undefined : { voters, learners };
    case "update":
      return from;
    default:
      change.kind satisfies never;
      return undefined;
  }
}

export function isVoter(configuration: Configuration, id: number): boolean {
  return configuration.voters.includes(id);
}

export function isMember(configuration: Configuration, id: number): boolean {
  return isVoter(configuration, id) || configuration.learners.includes(id);
}

/** Stops on a configuration that no sequence of changes can lead to. */
export function assertConfiguration({ voters, learners }: Configuration): void {
  for (const ids of [voters, learners]) {
    assert(ids.every(isId), `server ids are positive whole numbers: ${ids}`);
    assert(ids.every((id, i) => i === 0 || ids[i - 1]! < id), `ids are sorted and unique: ${ids}`);
  }
  assert(!learners.some((id) => voters.includes(id)), "nobody is both voter and learner");
  assert(voters.length > 0 || learners.length === 0, "learners need a voter to learn from");
}

function isId(id: number): boolean {
  return Number.isSafeInteger(id) && id > 0;
}

function sorted(ids: readonly number[]): number[] {
  return [...ids].sort((a, b) => a - b);
}
