/**
 * The whole layout of the database on one page. Keys are text, so that a store can be read with any
 * LevelDB tool; indices are 16 hex digits, so that they sort as numbers.
 *
 *     format               which node this is, and of which history       (StoreFormat)
 *     starts               incarnations since the last recorded one       (Starts)
 *     condemned            why nothing here is to be believed any more    ({ why })
 *     hard                 term, vote, commit, and how the log ends       (HardRecord)
 *     trim                 the place before the first retained entry      (TrimRecord)
 *     log/<index>          term, type, data, chain                        (LogRecord)
 *     applied              how far the state has got, and its digests     (AppliedRecord)
 *     state/<table>/<key>  one record of the replicated state             (StateRecord)
 */
export const KEYS = {
  format: "format",
  starts: "starts",
  condemned: "condemned",
  hard: "hard",
  trim: "trim",
  applied: "applied",
  log: (index: number) => `log/${index.toString(16).padStart(16, "0")}`,
  state: (table: string, key: string) => `state/${table}/${key}`,
};

/** `>= first` and `< last` hold all keys of the kind. */
export const RANGES = {
  log: { gte: "log/", lt: "log0" },
  state: { gte: "state/", lt: "state0" },
} as const;
