import { spawn } from "node:child_process";
import process from "node:process";
import type { Test } from "tap";
import { root } from "./root.ts";

/** A program that runs beside the test, on the runtime that runs the test. */
export interface Child {
  /** Resolves with its first output. */
  readonly spoke: Promise<string>;
  /** Resolves when it is gone: with its exit status, `null` when it was killed. */
  readonly closed: Promise<number | null>;
  kill(): void;
}

/**
 * Starts a module from its text, until the test's end at the latest. `$root/` in it stands for the
 * project's folder.
 */
export function startChild(t: Test, code: string): Child {
  const flags = "Deno" in globalThis
    ? ["run", "-A", "--no-check", "--ext=js", "-"]
    : ["--input-type=module", "-"];
  const child = spawn(process.execPath, flags, { cwd: root, stdio: ["pipe", "pipe", "ignore"] });
  const kill = () => void child.kill("SIGKILL");
  t.teardown(kill);
  child.stdin.end(code.replaceAll("$root/", root));
  return {
    spoke: new Promise((resolve) => child.stdout.once("data", (data) => resolve(String(data)))),
    closed: new Promise((resolve) => child.once("close", (code) => resolve(code))),
    kill,
  };
}
