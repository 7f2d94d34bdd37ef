import type { Command } from "commander";
import { registerBackendLook } from "./backend/look.ts";
import { registerBackendNew } from "./backend/new.ts";
import { registerBackendTest } from "./backend/test.ts";
import type { CommandContext } from "./command.ts";

/** `denim backend`: those there are, and one of your own. */
export function registerBackend(program: Command, context: CommandContext): void {
  const backend = program.command("backend")
    .description("ways of carrying packets: those there are, and one of your own");
  registerBackendLook(backend, context);
  registerBackendNew(backend, context);
  registerBackendTest(backend, context);
}
