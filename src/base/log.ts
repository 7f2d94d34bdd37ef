/** How the program speaks to its operator. The driver is chosen in `agent/start.ts`. */
export interface Logger {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** The same log with a scope in front, for example `raft`. */
  child(scope: string): Logger;
}

/** Plain values; a secret never goes in here. */
export type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

/** For tests and for code that nobody listens to. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
