import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Program } from "../../src/cli/lab/self.ts";

/** A daemon on a host that agrees to run these beginnings of command lines. */
export function allowing(program: Program, folder: string, lines: readonly string[]): Program {
  const path = join(folder, "commands.allow");
  writeFileSync(path, lines.map((line) => `${line}\n`).join(""), { mode: 0o644 });
  return ["env", `DENIM_COMMANDS_ALLOW=${path}`, ...program];
}

/** The scripts of an example, where the ones of root would be. @returns their folder */
export function installScripts(from: string, folder: string): string {
  const to = join(folder, "sbin");
  mkdirSync(to, { recursive: true, mode: 0o755 });
  for (const name of readdirSync(from).filter((name) => !name.includes("."))) {
    copyFileSync(join(from, name), join(to, name));
  }
  return to;
}
