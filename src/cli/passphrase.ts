import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { Option } from "commander";
import { DenimError } from "../base/errors.ts";
import { ask } from "./ask.ts";
import type { CommandContext } from "./command.ts";

const LETTERS_MIN = 8;
const FIX = "give it with --passphrase-file FILE or in DENIM_PASSPHRASE";

export function addPassphraseOption(command: Command): Command {
  return command.addOption(
    new Option("--passphrase-file <path>", "read the passphrase from a file")
      .env("DENIM_PASSPHRASE_FILE"),
  );
}

/** From a file, from `DENIM_PASSPHRASE`, or typed; never an argument. @throws `USAGE` */
export async function passphraseOf(
  { io }: CommandContext,
  file: string | undefined,
  fix = FIX,
): Promise<string> {
  if (file !== undefined) return readFile(file);
  return io.env["DENIM_PASSPHRASE"] ?? await ask("  passphrase: ", { fix, hidden: true });
}

/** The same for one that is new: typed, it is typed twice. @throws `USAGE` */
export async function newPassphrase(
  context: CommandContext,
  file: string | undefined,
): Promise<string> {
  const passphrase = await passphraseOf(context, file);
  if (passphrase.length < LETTERS_MIN) {
    throw new DenimError("USAGE", "The passphrase is too short", {
      why: `whoever guesses it can let anybody in; ${LETTERS_MIN} letters are the least`,
    });
  }
  const isTyped = file === undefined && context.io.env["DENIM_PASSPHRASE"] === undefined;
  if (isTyped && await ask("  once more:  ", { fix: FIX, hidden: true }) !== passphrase) {
    throw new DenimError("USAGE", "The two passphrases differ", { fix: "type them again" });
  }
  return passphrase;
}

function readFile(path: string): string {
  try {
    return readFileSync(path, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    throw new DenimError("USAGE", `Cannot read the passphrase file ${path}`, {
      why: (cause as Error).message,
      cause,
    });
  }
}
