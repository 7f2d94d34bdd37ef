/** What a set of votes says about an election. */
export type Tally = "won" | "lost" | "pending";

/** How many of `count` voters are a majority. */
export function majority(count: number): number {
  return Math.floor(count / 2) + 1;
}

/**
 * The highest value that a majority of the voters has reached: with `valueOf` the index that each
 * has acknowledged, what is safe to commit (Raft paper, section 5.3). 0 where nobody votes.
 */
export function majorityValue(
  voters: readonly number[],
  valueOf: (id: number) => number,
): number {
  if (voters.length === 0) return 0;
  const values = voters.map(valueOf).sort((a, b) => b - a);
  return values[majority(voters.length) - 1]!;
}

/** Counts only current voters: what a removed server answered is not a vote (hashicorp/raft #525). */
export function tally(
  voters: readonly number[],
  voteOf: (id: number) => boolean | undefined,
): Tally {
  const granted = voters.filter((id) => voteOf(id) === true).length;
  const missing = voters.filter((id) => voteOf(id) === undefined).length;
  if (granted >= majority(voters.length)) return "won";
  return granted + missing < majority(voters.length) ? "lost" : "pending";
}
