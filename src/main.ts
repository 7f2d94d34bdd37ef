#!/usr/bin/env node
/** Command line in, exit status out. */
import module from "node:module";
import { basename } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import manifest from "../package.json" with { type: "json" };

// From source, Node would take the types out of every file and compile it, at every start. What it
// made once is kept where the source's owner keeps what else is made of it: never in a folder that
// others can write to, since it is run.
if (import.meta.url.endsWith(".ts")) {
  module.enableCompileCache?.(
    fileURLToPath(new URL("../node_modules/.cache/denim", import.meta.url)),
  );
}

// A reader that has seen enough, as in `denim node list | head`, is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

/** A container runtime calls its plugins by their names, without a word: `flannel` is a link. */
function wordsOf(argv: readonly string[]): readonly string[] {
  const isPlugin = basename(process.argv0) === "flannel" && argv.length <= 2;
  return isPlugin ? ["cni"] : argv.slice(2);
}

/** Loads the rest only now: the cache serves what is asked for after it was turned on. */
async function main(): Promise<number> {
  const [{ run }, { systemIo }, { backends }] = await Promise.all([
    import("./cli/program.ts"),
    import("./cli/output.ts"),
    import("../plugins/mod.ts"),
  ]);
  return await run(wordsOf(process.argv), { io: systemIo(), version: manifest.version, backends });
}

main().then((status) => {
  process.exitCode = status;
});
