import process from "node:process";
import { fileURLToPath } from "node:url";
import { inSingleBinary } from "../../host/foreign.ts";

/** A program and its first words, as they are typed before Denim's own. */
export type Program = readonly string[];

/** How this very Denim is started again: the single binary, or this runtime and the source. */
export function ownProgram(): Program {
  if (inSingleBinary()) return [process.execPath];
  const main = fileURLToPath(new URL("../../main.ts", import.meta.url));
  const flags = process.versions["deno"] === undefined ? [] : ["run", "-A", "--no-check"];
  return [process.execPath, ...flags, main];
}

/** The environment of a daemon: what this one has, without what would steer it from outside. */
export function plainEnvironment(
  more: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const kept = Object.entries(process.env).filter((entry): entry is [string, string] =>
    entry[1] !== undefined && !/^(DENIM_|NOTIFY_SOCKET$|LISTEN_|NODE_OPTIONS$)/.test(entry[0])
  );
  return { ...Object.fromEntries(kept), ...more };
}
