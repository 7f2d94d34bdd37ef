import process from "node:process";
import { DenimError, ERRORS } from "../base/errors.ts";

/** Where a command writes to and what it may know of its surroundings. */
export interface Io {
  /** Results. */
  readonly out: (text: string) => void;
  /** Everything else: errors, progress, advice. */
  readonly err: (text: string) => void;
  /** Columns of the terminal; `undefined` when the output is not one. */
  readonly widthMax: number | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export function systemIo(): Io {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    widthMax: process.stdout.isTTY ? process.stdout.columns : undefined,
    env: process.env,
  };
}

export interface Column<Row> {
  readonly title: string;
  readonly text: (row: Row) => string | number | undefined;
  /** Numbers line up on the right. @default "left" */
  readonly align?: "left" | "right";
  /** May be cut when the terminal is too narrow. @default false */
  readonly shrinks?: boolean;
}

const GAP = "   ";
const SHRUNK_MIN = 8;

/**
 * Rows under titles, without borders, so that the output is as good for `awk` as for people. Wide
 * tables are cut at the terminal's edge only where a column allows it.
 */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  widthMax?: number,
): string {
  const lines = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => plain(String(column.text(row) ?? "–")))),
  ];
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => textWidth(line[at]!))));
  if (widthMax !== undefined) shrink(columns, widths, widthMax);
  return lines.map((line) =>
    line.map((text, at) => {
      const cut = truncate(text, widths[at]!);
      const pad = " ".repeat(widths[at]! - textWidth(cut));
      return columns[at]!.align === "right" ? pad + cut : cut + pad;
    }).join(GAP).trimEnd() + "\n"
  ).join("");
}

/** Takes what is missing from the widest column that may shrink, again and again. */
function shrink(columns: readonly Column<never>[], widths: number[], widthMax: number): void {
  const total = () => widths.reduce((sum, width) => sum + width, GAP.length * (widths.length - 1));
  for (let over = total() - widthMax; over > 0; over = total() - widthMax) {
    const at = widths.map((width, index) => ({ width, index }))
      .filter(({ width, index }) => columns[index]!.shrinks && width > SHRUNK_MIN)
      .sort((a, b) => b.width - a.width)[0]?.index;
    if (at === undefined) return;
    widths[at]!--;
  }
}

/** Columns that a text takes: marks take none, East Asian characters and emoji two. */
export function textWidth(text: string): number {
  let width = 0;
  for (const letter of text) {
    if (/\p{Mark}/u.test(letter)) continue;
    width += WIDE.test(letter) ? 2 : 1;
  }
  return width;
}

const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

/** Names come from other hosts: a control character must not reach the terminal. */
export function plain(text: string): string {
  return text.replace(/\p{Control}/gu, "�");
}

function truncate(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  let kept = "";
  for (const letter of text) {
    if (textWidth(kept + letter) > width - 1) break;
    kept += letter;
  }
  return `${kept}…`;
}

/** A result as `--json` prints it: one object, indented for people. */
export function renderJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** What, why, fix and code, in the shape that every part of Denim uses. */
export function renderError(error: DenimError): string {
  const rows = [["why", error.why], ["fix", error.fix], ["code", error.code]]
    .filter(([, text]) => text !== undefined)
    .map(([name, text]) => `  ${name!.padEnd(4)}  ${text}\n`);
  return `error: ${error.message}\n${rows.join("")}`;
}

/** The same for programs, on one line. */
export function renderErrorJson(error: DenimError): string {
  return `${JSON.stringify({ error: { ...error.toJSON(), exit: ERRORS[error.code].exit } })}\n`;
}
