import process from "node:process";
import { Writable } from "node:stream";
import { DenimError } from "../base/errors.ts";

export interface AskOptions {
  /** What is said, and what to do, where there is no terminal. */
  readonly message?: string;
  readonly fix: string;
  /** Nothing of what is typed is shown. */
  readonly hidden?: boolean;
}

/** A line that somebody types. @throws `USAGE` where there is no terminal; `CANCELLED` */
export async function ask(
  question: string,
  { message = "There is no terminal to ask at", fix, hidden = false }: AskOptions,
): Promise<string> {
  if (!process.stdin.isTTY) throw new DenimError("USAGE", message, { fix });
  const { createInterface } = await import("node:readline/promises");
  // The terminal echoes what goes to `output`; a secret goes nowhere.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  if (hidden) process.stderr.write(question);
  const prompt = createInterface({
    input: process.stdin,
    output: hidden ? nowhere : process.stderr,
    terminal: true,
  });
  // Ctrl-C and Ctrl-D close it, and the question would stay open for ever.
  const closed = new Promise<never>((_, reject) =>
    prompt.once("close", () => reject(new DenimError("CANCELLED", "Nothing was changed")))
  );
  try {
    return await Promise.race([prompt.question(hidden ? "" : question), closed]);
  } finally {
    prompt.close();
    if (hidden) process.stderr.write("\n");
  }
}
