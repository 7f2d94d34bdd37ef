/** What every backend keeps to. `denim backend test` runs the same for one that is somebody's own. */
import { type Backend, type Json } from "../../src/backend/backend.ts";
import { DEFAULT_SUITE, judge, PROMISE_NAMES } from "../../src/backend/contract/suite.ts";
import type { Test } from "tap";

/** Those that have a program run before they publish have it print this: one host nothing at all. */
const PRINTS = ["02:00:00:00:00:01\n", "", "two\nlines\n"];

export function backendContract(t: Test, backend: Backend, configs: readonly Json[]): void {
  for (const name of PROMISE_NAMES) {
    t.test(`${backend.name}: ${name}`, async (t) => {
      const { failure } = await judge(backend, name, { ...DEFAULT_SUITE, configs, prints: PRINTS });
      t.equal(failure && `seed ${failure.seed}: ${failure.why}`, undefined);
    });
  }
}
