import { DenimError } from "../base/errors.ts";
import { ask } from "./ask.ts";

export interface Question {
  /** What will be, in one sentence. */
  readonly warning: string;
  /** What has to be typed to go on. */
  readonly word: string;
  /** The command that does not ask. */
  readonly fix: string;
}

/**
 * Asks at the terminal for what cannot be taken back. Where there is none, the command line has to
 * say it.
 *
 * @throws `USAGE` without a terminal; `CANCELLED`
 */
export async function confirm({ warning, word, fix }: Question): Promise<void> {
  const answer = await ask(`${warning}. Type ${word} to go on: `, {
    message: warning,
    fix: `say that you mean it: ${fix}`,
  });
  if (answer.trim() !== word) throw new DenimError("CANCELLED", "Nothing was changed");
}

/** The same by the cluster's name, which is typed or given. @throws `CANCELLED` `USAGE` */
export async function confirmByName(name: string, given: string | undefined): Promise<void> {
  const answer = given ??
    await ask(`Type the cluster's name to go on (${name}): `, {
      fix: `say that you mean it: --confirm ${name}`,
    });
  if (answer.trim() === name) return;
  throw new DenimError("CANCELLED", "Nothing was changed", {
    why: `the cluster's name is ${name}`,
  });
}
