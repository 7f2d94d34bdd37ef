import t from "tap";
import { cannotUnshare } from "../support/namespace.ts";
import { BENCHES } from "./main.ts";

/** A machine that does other things at the same time must not fail a test. */
const PATIENCE = 10;
const TIMEOUT_MS = 120_000;

for (const [name, load] of Object.entries(BENCHES)) {
  t.test(`the benchmark "${name}" runs, and judges itself`, {
    skip: cannotUnshare,
    timeout: TIMEOUT_MS,
  }, async (t) => {
    const { bench, ok, rows } = await (await load()).run({ tiny: true });
    t.equal(bench, name);
    t.ok(rows.length > 0);
    t.equal(ok, rows.every((row) => row.ok));
    for (const { name, denim, peer, unit, ratio, target, ok } of rows) {
      t.ok(denim > 0 && peer > 0 && unit === "ms", name);
      t.equal(ok, ratio <= target, name);
      t.ok(ratio <= target * PATIENCE, `${name}: ${ratio}, ten times the goal is no excuse`);
    }
  });
}
