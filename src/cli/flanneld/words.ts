import { DenimError } from "../../base/errors.ts";
import type { FlanneldFlag } from "./table.ts";

/**
 * Splits `FLANNEL_OPTIONS` at blanks as a shell does that has it on a command line: quotes keep
 * words together, and a backslash takes the next letter for itself, in double quotes only those
 * that mean something there (POSIX, Shell Command Language, 2.2). Nothing is expanded.
 *
 * @throws `USAGE` when a quote is never closed
 */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  const add = (letters: string) => void (word = (word ?? "") + letters);
  for (const [token] of text.matchAll(TOKEN)) {
    if (/^\s/.test(token)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (token.length > 1 && token.startsWith("'")) add(token.slice(1, -1));
    else if (token.length > 1 && token.startsWith('"')) {
      add(token.slice(1, -1).replace(/\\(["\\$`])/g, "$1"));
    } else if (token === "'" || token === '"') {
      throw new DenimError("USAGE", `A quote is never closed: ${text}`, { fix: `add a ${token}` });
    } else add(token.length > 1 && token.startsWith("\\") ? token.slice(1) : token);
  }
  return word === undefined ? words : [...words, word];
}

/** Blanks, a quoted part, a letter behind a backslash, a plain part, or what is left over. */
const TOKEN = /\s+|'[^']*'|"(?:[^"\\]|\\[^])*"|\\[^]|[^\s'"\\]+|[^]/g;

/** Values of flannel's flags as they were given, and everything else. */
export interface Sorted {
  readonly given: ReadonlyMap<string, readonly string[]>;
  /** Denim's flags, with two dashes, in their order. */
  readonly rest: readonly string[];
}

/**
 * Reads words as Go's `flag` package does: one dash or two, `-x=v` or `-x v`, and a switch takes
 * its value only with `=`. What is no flag of flannel's is left to Denim.
 *
 * @throws `USAGE` when a value is missing
 */
export function sortWords(words: readonly string[], flags: readonly FlanneldFlag[]): Sorted {
  const given = new Map<string, readonly string[]>();
  const rest: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    const match = /^--?([A-Za-z][\w-]*)(?:=([^]*))?$/.exec(word);
    const name = match?.[1] === "h" ? "help" : match?.[1];
    const flag = flags.find((flag) => flag.name === name);
    if (flag === undefined) {
      // Of several letters behind one dash Go makes one flag, and commander several.
      rest.push(/^-[A-Za-z]{2}/.test(word) ? `-${word}` : word);
      continue;
    }
    let value = match![2];
    if (value === undefined && flag.type === "switch") value = "true";
    if (value === undefined) value = words[++at];
    if (value === undefined) {
      throw new DenimError("USAGE", `-${flag.name} needs a value`, {
        fix: `-${flag.name}=${flag.fallback || "VALUE"}`,
      });
    }
    given.set(flag.name, [...(given.get(flag.name) ?? []), value]);
  }
  return { given, rest };
}
