/** What the docs have people type: blocks of `console`, line by line. */

export interface TypedCommand {
  readonly page: string;
  /** In the page, from 1. */
  readonly line: number;
  /** Whose prompt it is typed at: `web1# `; empty for `$ `, the reader's own machine. */
  readonly host: string;
  readonly text: string;
  /** What the page shows of its output, line by line; `…` stands for anything. */
  readonly shown: readonly string[];
  /** Why it is not run: `<!-- not run: … -->` in front of its block. */
  readonly marked: string | undefined;
}

export interface Block {
  readonly page: string;
  readonly line: number;
  /** What follows the fence: `console`, `json`, `text`. */
  readonly language: string;
  readonly lines: readonly string[];
  readonly marked: string | undefined;
}

export function blocksOf(page: string, text: string): Block[] {
  const blocks: Block[] = [];
  let open: { line: number; language: string; lines: string[] } | undefined;
  let marked: string | undefined;
  for (const [i, line] of text.split("\n").entries()) {
    const fence = /^\s*```(\w*)$/.exec(line);
    if (fence !== null && open === undefined) {
      open = { line: i + 1, language: fence[1]!, lines: [] };
    } else if (fence !== null) {
      blocks.push({ page, ...open!, marked });
      open = undefined;
      marked = undefined;
    } else if (open !== undefined) {
      open.lines.push(line);
    } else if (line.trim() !== "") {
      marked = /^<!-- not run: (.+) -->$/.exec(line)?.[1];
    }
  }
  return blocks;
}

/** @throws where a block does not begin with a prompt */
export function commandsOf({ page, line, lines, marked }: Block): TypedCommand[] {
  const commands: (TypedCommand & { shown: string[] })[] = [];
  let continues = false;
  for (const [i, text] of lines.entries()) {
    const last = commands.at(-1);
    const [, host, typed] = /^(?:([a-z][a-z0-9-]*)#|\$) (.+)$/.exec(text) ?? [];
    if (continues) {
      commands[commands.length - 1] = { ...last!, text: `${last!.text}\n${text}` };
    } else if (typed !== undefined) {
      commands.push({ page, line: line + i + 1, host: host ?? "", text: typed, shown: [], marked });
    } else if (last === undefined) {
      throw new Error(`${page}:${line + i + 1}: a block of console begins with a prompt`);
    } else if (text.trim() !== "") {
      last.shown.push(text);
    }
    continues = (continues || typed !== undefined) && text.endsWith("\\");
  }
  return commands;
}

/** The shown lines that an output does not have, in their order. */
export function missingFrom(output: string, shown: readonly string[]): string[] {
  const lines = output.split("\n").map(plain);
  let at = 0;
  return shown.filter((text) => {
    const pattern = new RegExp(`^${plain(text).split("…").map(literally).join(".*")}$`);
    const found = lines.findIndex((line, i) => i >= at && pattern.test(line));
    if (found === -1) return text.trim() !== "…";
    at = found + 1;
    return false;
  });
}

function literally(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

/** Tables are as wide as what is in them. */
function plain(line: string): string {
  return line.trim().replaceAll(/\s+/g, " ");
}
