import type { Fields, Logger } from "../../src/base/log.ts";

/** A log that a test can look at: one line per record, `level scope message`. */
export class RecordingLogger implements Logger {
  readonly lines: string[];
  readonly #scope: string;

  constructor(scope = "test", lines: string[] = []) {
    this.#scope = scope;
    this.lines = lines;
  }

  debug(message: string, fields?: Fields): void {
    this.#write("debug", message, fields);
  }

  info(message: string, fields?: Fields): void {
    this.#write("info", message, fields);
  }

  warn(message: string, fields?: Fields): void {
    this.#write("warn", message, fields);
  }

  error(message: string, fields?: Fields): void {
    this.#write("error", message, fields);
  }

  child(scope: string): Logger {
    return new RecordingLogger(`${this.#scope}.${scope}`, this.lines);
  }

  #write(level: string, message: string, fields: Fields = {}): void {
    const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${value}`).join("");
    this.lines.push(`${level} ${this.#scope} ${message}${rest}`);
  }
}
