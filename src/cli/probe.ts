import type { Command } from "commander";
import { systemClock } from "../base/clock.ts";

/** The lab's stand-in for `ping` inside a container; hidden, because it is of no use elsewhere. */
export function registerProbe(program: Command): void {
  program.command("probe", { hidden: true })
    .description("answer and send test datagrams, as a container of the demo")
    .action(async () => {
      const { serveProbe } = await import("./lab/probe.ts");
      await serveProbe(systemClock());
    });
}
