import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";

/** An empty directory that goes away with the test. */
export function scratch(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), "denim-test-"));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
