import {
  configureSync,
  getJsonLinesFormatter,
  getLogger,
  getTextFormatter,
  type LogLevel,
} from "@logtape/logtape";
import process from "node:process";
import type { Fields, Logger } from "../base/log.ts";

export interface LogOptions {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly format: "text" | "json";
}

/** The log of this process, on stderr: one line a record, or one JSON object. */
export function processLogger(options: LogOptions): Logger {
  const format = options.format === "json"
    ? getJsonLinesFormatter({ categorySeparator: "." })
    : getTextFormatter({ timestamp: "rfc3339", category: "." });
  const lowestLevel: LogLevel = options.level === "warn" ? "warning" : options.level;
  configureSync({
    reset: true,
    sinks: { stderr: (record) => void process.stderr.write(format(record)) },
    loggers: [
      { category: "denim", sinks: ["stderr"], lowestLevel },
      { category: ["logtape", "meta"], sinks: ["stderr"], lowestLevel: "warning" },
    ],
  });
  return new Scope(["denim"], options.format === "text");
}

class Scope implements Logger {
  readonly #category: readonly string[];
  readonly #spelledOut: boolean;
  readonly #logger: ReturnType<typeof getLogger>;

  constructor(category: readonly string[], spelledOut: boolean) {
    this.#category = category;
    this.#spelledOut = spelledOut;
    this.#logger = getLogger(category as [string, ...string[]]);
  }

  debug(message: string, fields?: Fields): void {
    this.#logger.debug(this.#line(message, fields), this.#known(fields));
  }

  info(message: string, fields?: Fields): void {
    this.#logger.info(this.#line(message, fields), this.#known(fields));
  }

  warn(message: string, fields?: Fields): void {
    this.#logger.warn(this.#line(message, fields), this.#known(fields));
  }

  error(message: string, fields?: Fields): void {
    this.#logger.error(this.#line(message, fields), this.#known(fields));
  }

  child(scope: string): Logger {
    return new Scope([...this.#category, scope], this.#spelledOut);
  }

  /** Text lines carry the fields behind the message; braces would be read as placeholders. */
  #line(message: string, fields: Fields = {}): string {
    const rest = Object.entries(this.#known(fields))
      .map(([key, value]) => ` ${key}=${quoted(value)}`).join("");
    return (this.#spelledOut ? message + rest : message).replace(/[{}]/g, (brace) => brace + brace);
  }

  #known(fields: Fields = {}): Record<string, string | number | boolean> {
    const known: Record<string, string | number | boolean> = {};
    for (const [key, value] of Object.entries(fields)) if (value !== undefined) known[key] = value;
    return known;
  }
}

function quoted(value: string | number | boolean): string {
  return typeof value === "string" && /[\s"=]/.test(value) ? JSON.stringify(value) : String(value);
}
