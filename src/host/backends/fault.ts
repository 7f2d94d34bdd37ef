import { DenimError } from "../../base/errors.ts";
import { readIfAny } from "../own-files.ts";
import type { Fault } from "./messages.ts";

/** Something that was thrown in a backend's worker; `path` is the backend's folder. */
export function faultOf(error: unknown, path: string): Fault {
  const place = placeIn(stackOf(error), path);
  const at = place === undefined ? {} : { at: place };
  if (error instanceof DenimError) {
    const { cause } = error;
    if (error.code === "CONFIG_INVALID" && cause === undefined) {
      return { said: error.toJSON(), text: error.message, ...at };
    }
    if (cause !== undefined) return faultOf(cause, path);
  }
  return { text: firstLine(error), ...at };
}

/** The first line of a stack, or of a syntax error's excerpt, that lies in the folder. */
export function placeIn(stack: string, path: string): string | undefined {
  const from = stack.indexOf(`${path}/`);
  if (from === -1) return undefined;
  return /^[^\s:()]+(?::\d+)?/.exec(stack.slice(from))?.[0];
}

/** The line where a backend has one of its functions, as far as its text shows that. */
export function placeOf(entry: string, name: string): string {
  const named = new RegExp(`^\\s*(?:async\\s+)?(?:readonly\\s+)?["']?${name}["']?\\s*[:(,=]`);
  const line = (readIfAny(entry) ?? "").split("\n").findIndex((text) => named.test(text));
  return line === -1 ? entry : `${entry}:${line + 1}`;
}

function stackOf(error: unknown): string {
  return error instanceof Error ? error.stack ?? "" : "";
}

function firstLine(error: unknown): string {
  if (!(error instanceof Error)) return `it threw ${String(error)}`;
  const [line = ""] = error.message.split("\n");
  return /^\w*Error:/.test(line) ? line : `${error.name}: ${line}`;
}
