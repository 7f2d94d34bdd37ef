import t from "tap";
import { cannotUnshare } from "../support/namespace.ts";
import { BENCHES } from "./main.ts";
import { meets } from "./result.ts";

/** A machine that does other things at the same time must not fail a test. */
const PATIENCE = 10;
const TIMEOUT_MS = 600_000;

for (const [name, load] of Object.entries(BENCHES)) {
  const { run, cannotRun = cannotUnshare } = await load();
  t.test(`the benchmark "${name}" runs, and judges itself`, {
    skip: cannotRun,
    timeout: TIMEOUT_MS,
  }, async (t) => {
    const { bench, ok, rows } = await run({ tiny: true });
    t.equal(bench, name);
    t.ok(rows.length > 0);
    t.equal(ok, rows.every((row) => row.ok));
    for (const row of rows) {
      const { name, denim, peer, ratio } = row;
      t.ok(denim >= 0 && peer > 0, name);
      t.equal(row.ok, meets(row), name);
      t.ok(meets(row, PATIENCE), `${name}: ${ratio}, ten times the goal is no excuse`);
    }
  });
}
