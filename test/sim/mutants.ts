/** One place where a mutant's code differs. `find` stands in the file exactly once. */
interface Edit {
  /** Below the project's folder. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** A mistake that others have made, or that would break a promise, put back into the program. */
export interface Mutant {
  readonly name: string;
  /** Whose mistake, or which rule it breaks. */
  readonly why: string;
  readonly edits: readonly Edit[];
}

function mutant(name: string, why: string, ...edits: readonly Edit[]): Mutant {
  return { name, why, edits };
}

function edit(file: string, find: string, replace: string): Edit {
  return { file, find, replace };
}

/** The simulator must find every one of them: `npm run sim -- --mutants`. */
export const MUTANTS: readonly Mutant[] = [
  mutant(
    "commit-old-term",
    "Raft paper, figure 8: an older entry on a majority can still be lost",
    edit(
      "src/raft/replication.ts",
      "if (index <= core.log.commit || core.log.termAt(index) !== core.term) return false;",
      "if (index <= core.log.commit) return false;",
    ),
  ),
  mutant(
    "ack-before-sync",
    "etcd #14370: what is acknowledged is not on disk yet",
    edit(
      "src/replica/turn.ts",
      "if (ready.sendEarly) this.#send(ready.messages);",
      "this.#send(ready.messages);",
    ),
  ),
  mutant(
    "vote-not-persisted",
    "canonical/raft #386: a restarted server votes again in the same term",
    edit(
      "src/raft/ready.ts",
      "mustSync: entries.length > 0 || !sameBallot(told.hardState, hardState),",
      "mustSync: entries.length > 0,",
    ),
  ),
  mutant(
    "foreign-vote-counts",
    "hashicorp/raft #525: who is no voter any more helps to elect",
    edit(
      "src/raft/election.ts",
      "for (const to of core.configuration.voters) {",
      "for (const to of core.progress.keys()) {",
    ),
    edit(
      "src/raft/election.ts",
      "return tally(core.configuration.voters, (id) => core.votes.get(id));",
      "return tally(core.configuration.voters, (id) => core.votes.get(id)) === 'lost' ? 'lost' : " +
        "[...core.votes.values()].filter(Boolean).length > core.configuration.voters.length / 2 " +
        "? 'won' : 'pending';",
    ),
  ),
  mutant(
    "campaign-with-unapplied-change",
    "etcd raft PR 469: a majority of a configuration that is over",
    edit(
      "src/raft/election.ts",
      'if (core.log.hasChange(core.log.applied + 1, core.log.commit)) return "change-unapplied";',
      "",
    ),
  ),
  mutant(
    "refusal-commits-another-entry",
    "Raft paper, figure 3: an index alone does not name an entry",
    edit(
      "src/raft/refusal.ts",
      "if (committed.index <= log.commit || !log.matches(committed)) return;",
      "if (committed.index <= log.commit || committed.index > log.last.index) return;",
    ),
  ),
  mutant(
    "read-id-used-again",
    "etcd #20418: a late answer to an earlier attempt proves a read fresh",
    edit(
      "src/replica/reads.ts",
      "const context = `${this.#prefix}-${++this.#counter}`;",
      "const context = `${this.#prefix}-${++this.#counter % 2}`;",
    ),
  ),
  mutant(
    "expire-without-revision",
    "etcd #15247: a lease that was granted anew is ended by an older decision",
    edit(
      "src/lease/expire-command.ts",
      "if (lease === undefined || lease.modRevision !== revision) continue;",
      "if (lease === undefined) continue;",
    ),
    edit(
      "src/lease/expire-command.ts",
      "if (deadline === undefined || deadline.body.deadlineMs > draft.clockMs) continue;",
      "",
    ),
  ),
  mutant(
    "expire-without-clock",
    "etcd #12528: a lease that was renewed meanwhile is ended",
    edit(
      "src/lease/expire-command.ts",
      "if (deadline === undefined || deadline.body.deadlineMs > draft.clockMs) continue;",
      "",
    ),
  ),
  mutant(
    "snapshot-keeps-suffix",
    "hashicorp/raft #697: entries of another history stay behind the snapshot",
    edit(
      "src/raft/log.ts",
      "this.#entries = [];\n    this.#stable = snapshot.index;",
      "this.#entries = this.#entries.filter(({ index }) => index > snapshot.index);\n" +
        "    this.#stable = this.last.index;",
    ),
    edit(
      "src/store/log.ts",
      "const keeps = this.at(index)?.chain === chain;",
      "const keeps = true;",
    ),
  ),
  mutant(
    "learner-does-not-vote",
    "etcd #10998: a voter that has not heard of its promotion is asked in vain",
    edit(
      "src/raft/election.ts",
      "const granted = free && isCandidateUpToDate(core, message);\n  if (granted) {",
      "const granted = free && isVoter(core.configuration, core.id) && " +
        "isCandidateUpToDate(core, message);\n  if (granted) {",
    ),
  ),
  mutant(
    "two-changes-in-flight",
    "Raft thesis, section 4.1: two neighbours of one configuration need not overlap",
    edit(
      "src/raft/leader.ts",
      "if (change !== -1 && core.pendingChangeIndex > core.log.applied) {",
      "if (change !== -1 && core.pendingChangeIndex < 0) {",
    ),
  ),
  mutant(
    "pre-vote-raises-term",
    "Raft thesis, section 9.6: asking must be free",
    edit(
      "src/raft/step.ts",
      'case "pre-vote":\n      return !isInLease(core);',
      'case "pre-vote":\n      if (isInLease(core)) return false;\n' +
        "      becomeFollower(core, message.term, NOBODY);\n      return true;",
    ),
  ),
  mutant(
    "append-without-check",
    "Raft paper, figure 2, AppendEntries 2: the entry before must match",
    edit(
      "src/raft/follower.ts",
      "if (!log.matches({ index: previousIndex, term: previousTerm })) {",
      "if (previousIndex > log.last.index) {",
    ),
  ),
  mutant(
    "truncates-committed",
    "Raft paper, figure 2, AppendEntries 3: a late append cuts off what followed it",
    edit(
      "src/raft/log.ts",
      "const fresh = entries.findIndex((entry) => !this.matches(entry));",
      "const fresh = entries.length > 0 ? 0 : -1;",
    ),
    edit(
      "src/raft/log.ts",
      "assert(from > this.#commit, `entry ${from} is committed and cannot be replaced`);",
      "",
    ),
    edit("src/raft/follower.ts", "if (previousIndex < log.commit) {", "if (previousIndex < 0) {"),
  ),
  mutant(
    "applied-ahead-of-data",
    "etcd #13766: how far the state has got is on disk before the state",
    edit(
      "src/store/store.ts",
      "if (write.state !== undefined) this.#putState(batch, write.state);",
      "if (write.state !== undefined) {\n" +
        "      const early = new Batch();\n" +
        "      early.put(KEYS.applied, write.state.applied);\n" +
        "      await this.#database.write(early);\n" +
        "      this.#putState(batch, write.state);\n    }",
    ),
  ),
  mutant(
    "watch-skips-after-compaction",
    "etcd #17529: a follower from before the oldest event is not told what it missed",
    edit("src/store/feed.ts", "from.revision >= this.#compactRevision;", "from.revision > 0;"),
  ),
  mutant(
    "removal-frees-at-once",
    "a removed node may live on, and use its subnet until its lease ends",
    edit(
      "src/lease/tenure.ts",
      "quarantineEndsMs: believedUntilMs(context, lease),",
      "quarantineEndsMs: 0,",
    ),
  ),
  mutant(
    "delete-from-old-cache",
    "no state is not no routes",
    edit(
      "src/plan/confidence.ts",
      'if (!confirmedByLeader || hold) return "add-only";',
      'if (hold) return "add-only";',
    ),
    edit(
      "src/plan/confidence.ts",
      'return sameHistory && revision >= programmed.revision ? "full" : "add-only";',
      'return "full";',
    ),
  ),
  mutant(
    "incarnation-used-again",
    "a process that calls itself what another one does cannot be told from it",
    edit(
      "src/agent/entry/starts.ts",
      "const incarnation = {",
      "const incarnation = before.at(-1) ?? {",
    ),
  ),
  mutant(
    "gives-out-on-hold",
    "a recovered state does not know what was given out after it was saved",
    edit(
      "src/lease/hold.ts",
      "if (hold !== undefined) throw onHold(context, hold, what);",
      "if (hold === null) throw onHold(context, hold, what);",
    ),
  ),
  mutant(
    "fenced-claims-on-hold",
    "who has lost its trust may claim what another one rightly has",
    edit(
      "src/lease/claim-command.ts",
      "if (!command.locallyValid || isAncestral !== true) {",
      "if (isAncestral !== true) {",
    ),
  ),
  mutant(
    "leaver-trusts-on",
    "a node that leaves holds its subnet although it is free",
    edit("src/agent/node.ts", "await this.#surrender();\n    try {", "try {"),
  ),
];
