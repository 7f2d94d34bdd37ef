#!/usr/bin/env node
/** Command line in, exit status out. */
import process from "node:process";
import manifest from "../package.json" with { type: "json" };
import { backends } from "../plugins/mod.ts";
import { systemIo } from "./cli/output.ts";
import { run } from "./cli/program.ts";

// A reader that has seen enough, as in `denim node list | head`, is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

run(process.argv.slice(2), { io: systemIo(), version: manifest.version, backends }).then(
  (status) => {
    process.exitCode = status;
  },
);
