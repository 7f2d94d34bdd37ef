/**
 * Reads interaction scripts: the data-driven format in which etcd's raft keeps its scenarios.
 *
 *   # a comment
 *   command argument key=value key=(value,value)
 *   input lines, if any
 *   ----
 *   expected output, up to a blank line
 *
 * Output that has blank lines itself stands between two pairs of `----` lines.
 */
export interface Directive {
  /** Counted from 1, where the command stands. */
  readonly line: number;
  readonly command: string;
  readonly arguments: readonly Argument[];
  readonly input: readonly string[];
  readonly expected: readonly string[];
}

export interface Argument {
  readonly key: string;
  /** Empty for an argument that is only a word. */
  readonly values: readonly string[];
}

const SEPARATOR = "----";

export function parseScript(text: string): Directive[] {
  const lines = text.split("\n").map((line) => line.trimEnd());
  const directives: Directive[] = [];
  let at = 0;
  while (at < lines.length) {
    if (lines[at] === "" || lines[at]!.startsWith("#")) {
      at++;
      continue;
    }
    const { directive, next } = parseDirective(lines, at);
    directives.push(directive);
    at = next;
  }
  return directives;
}

function parseDirective(lines: readonly string[], start: number) {
  let at = start;
  let head = lines[at++]!;
  while (head.endsWith("\\")) head = head.slice(0, -1) + lines[at++]!.trim();
  const separator = lines.indexOf(SEPARATOR, at);
  if (separator === -1) throw new Error(`line ${start + 1}: no "${SEPARATOR}" after "${head}"`);
  const input = lines.slice(at, separator);
  const { expected, next } = parseExpected(lines, separator + 1);
  const [command, ...words] = splitWords(head);
  return {
    directive: {
      line: start + 1,
      command: command!,
      arguments: words.map(parseArgument),
      input,
      expected,
    },
    next,
  };
}

function parseExpected(lines: readonly string[], start: number) {
  if (lines[start] !== SEPARATOR) {
    const blank = lines.indexOf("", start);
    const end = blank === -1 ? lines.length : blank;
    return { expected: lines.slice(start, end), next: end };
  }
  let end = start + 1;
  while (end < lines.length && !(lines[end] === SEPARATOR && lines[end + 1] === SEPARATOR)) end++;
  return { expected: lines.slice(start + 1, end), next: end + 2 };
}

/** Blanks separate words, except inside parentheses. */
function splitWords(head: string): string[] {
  return head.match(/[^\s(=]+(=(\([^)]*\)|\S*))?/g) ?? [];
}

function parseArgument(word: string): Argument {
  const at = word.indexOf("=");
  if (at === -1) return { key: word, values: [] };
  const value = word.slice(at + 1);
  const list = /^\((.*)\)$/.exec(value);
  const values = list ? list[1]!.split(/[\s,]+/).filter((one) => one !== "") : [value];
  return { key: word.slice(0, at), values };
}
