import { type Command, InvalidArgumentError } from "commander";
import type { CommandContext } from "./command.ts";
import { type DemoFlags, HOSTS_DEFAULT } from "./demo/flags.ts";

/** The first minute with Denim: a cluster on this machine that leaves nothing behind. */
export function registerDemo(program: Command, { io }: CommandContext): void {
  const command = program.command("demo")
    .description("try Denim on this machine: hosts and containers in network namespaces")
    .option("--once", "end after the table; fails unless every container reached every other")
    .option("--hosts <n>", "how many hosts", number(2, 20), HOSTS_DEFAULT)
    .option("--api-port <n>", "port of 127.0.0.1 where the API answers", number(1, 65_535))
    .option("--json", "the outcome as JSON; progress goes to the standard error");
  command.addOption(
    command.createOption("--inside <folder>", "go on in a user namespace").hideHelp(),
  );
  command.action(async (flags: DemoFlags) => {
    const { runDemo } = await import("./demo/run.ts");
    await runDemo(flags, io);
  });
}

function number(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It is a number from ${min} to ${max}.`);
  };
}
