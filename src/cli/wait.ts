import { existsSync } from "node:fs";
import { Option } from "commander";
import { DEFAULT_SETTINGS } from "../agent/settings.ts";
import { sleep, systemClock } from "../base/clock.ts";
import { parseDuration } from "../base/duration.ts";
import { DenimError } from "../base/errors.ts";
import type { Register } from "./command.ts";

const LOOK_MS = 100;

/**
 * `denim wait`: for units of container runtimes, which must not start with a network of their own.
 * The file is there for as long as this host has its subnet, whether the daemon runs or not: so a
 * runtime can be started again while Denim is being upgraded.
 */
export const registerWait: Register = (program) => {
  program.command("wait")
    .description("wait until container runtimes of this host have a subnet")
    .addOption(
      new Option("--subnet-file <path>", "what container runtimes read")
        .env("DENIM_SUBNET_FILE").default(DEFAULT_SETTINGS.subnetFile),
    )
    .option("--timeout <duration>", "give up after that; without it never")
    .action(async ({ subnetFile, timeout }: { subnetFile: string; timeout?: string }) => {
      const clock = systemClock();
      const endMs = clock.monotonicMs() + patienceMs(timeout);
      while (!existsSync(subnetFile)) {
        if (clock.monotonicMs() >= endMs) {
          throw new DenimError("TIMEOUT", `There is no ${subnetFile} after ${timeout}`, {
            why: "it is written once this host holds its lease and has its routes",
            fix: "denim status says what is missing",
          });
        }
        await sleep(clock, LOOK_MS);
      }
    });
};

/** @throws `USAGE` */
function patienceMs(timeout: string | undefined): number {
  const durationMs = timeout === undefined ? Infinity : parseDuration(timeout);
  if (durationMs !== undefined) return durationMs;
  throw new DenimError("USAGE", `"${timeout}" is no duration`, { fix: "--timeout 60s" });
}
