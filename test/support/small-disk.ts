import { spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Test } from "./tap.ts";

/** Why a test cannot have a disk of its own, or false: what `skip` wants. */
export const cannotMount: string | false = process.getuid?.() === 0
  ? false
  : "needs root to mount a tmpfs";

/** A file system of a few MiB, until the test's end. */
export class SmallDisk {
  readonly folder: string;

  constructor(t: Test, sizeMib: number) {
    this.folder = mkdtempSync(join(tmpdir(), "denim-"));
    run("mount", ["-t", "tmpfs", "-o", `size=${sizeMib}m`, "denim-test", this.folder]);
    t.teardown(() => {
      run("umount", ["-l", this.folder]);
      rmdirSync(this.folder);
    });
  }

  /** Somebody else takes all that is left, to the last page. */
  fill(): void {
    const path = this.#filler;
    writeFileSync(path, "");
    for (const bytes of [1024 * 1024, 4096]) {
      try {
        for (;;) appendFileSync(path, new Uint8Array(bytes));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      }
    }
  }

  clear(): void {
    rmSync(this.#filler, { force: true });
  }

  get #filler(): string {
    return join(this.folder, "filler");
  }
}

function run(program: string, words: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program, words, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${words.join(" ")}: ${error?.message ?? stderr}`);
}
