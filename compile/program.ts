import type { Buffer } from "node:buffer";
import { constants, Script } from "node:vm";

/** How the bundler's output is wrapped, so that it is one function, as Node wraps a module. */
export const WRAPPER = ["(function(require,module,exports){", "\n})"] as const;

/** Says whose lines are in a stack. */
const FILE_NAME = "denim.cjs";

/** Runs the bundled program; the script can then say what V8 has compiled of it. */
export function runProgram(options: {
  readonly source: string;
  /** Empty: none. One that does not fit this V8 is passed over. */
  readonly cachedData: Buffer;
  readonly require: (name: string) => unknown;
}): Script {
  const { source, cachedData, require } = options;
  const script = new Script(source, {
    filename: FILE_NAME,
    ...(cachedData.length === 0 ? {} : { cachedData }),
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  const module = { exports: {} };
  script.runInThisContext()(require, module, module.exports);
  return script;
}
