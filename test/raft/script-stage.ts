/** Where a script's directives act and what they print to. */
import { ScriptCluster } from "./script-cluster.ts";

/** An answer that is printed even where the script asked for silence. */
export class ScriptError extends Error {}

const LOG_LEVELS = ["debug", "info", "warn", "error", "fatal", "none"];

export class Stage {
  readonly cluster: ScriptCluster = new ScriptCluster();
  #output: string[] = [];
  #logLevel = "debug";

  print(...lines: string[]): void {
    if (this.#logLevel !== "none") this.#output.push(...lines);
  }

  /** What an action prints, two blanks further in. */
  indented(action: () => void): void {
    const outer = this.#output;
    this.#output = [];
    action();
    outer.push(...this.#output.map((line) => `  ${line}`));
    this.#output = outer;
  }

  takeOutput(): string[] {
    return this.#output.splice(0);
  }

  get logLevel(): string {
    return this.#logLevel;
  }

  /** The core logs nothing, so all that a level does here is to silence the stage, or not. */
  setLogLevel(level: string): void {
    if (!LOG_LEVELS.includes(level.toLowerCase())) {
      throw new ScriptError(`log-levels must be either of [${LOG_LEVELS.join(" ")}]`);
    }
    this.#logLevel = level.toLowerCase();
  }
}
