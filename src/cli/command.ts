import type { Command } from "commander";
import type { Backend } from "../backend/backend.ts";
import type { Io } from "./output.ts";

/** What each command file gets. It adds itself to the program and loads the rest when it runs. */
export interface CommandContext {
  readonly io: Io;
  /** Denim's version. */
  readonly version: string;
  /** The backends of this program, in the order in which they are shown. */
  readonly backends: readonly Backend[];
}

export type Register = (program: Command, context: CommandContext) => void;

/** Ends the program with this status: whoever throws it has said everything. */
export class ExitStatus extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`exit status ${status}`);
    this.status = status;
  }
}
