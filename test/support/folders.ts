import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "./tap.ts";

/** A folder of its own, gone when the test is over. */
export function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), "denim-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** What a crash at this moment would leave: the files as they are, under another name. */
export function copyFolder(from: string, to: string): string {
  rmSync(to, { recursive: true, force: true });
  cpSync(from, to, { recursive: true, filter: (path) => !path.endsWith("/LOCK") });
  return to;
}
