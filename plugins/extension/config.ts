import { DenimError, type Json } from "denim/backend";

/** flannel's keys, each with the variables that its command is given. */
export const COMMANDS = {
  PreStartupCommand: [],
  PostStartupCommand: ["NETWORK", "SUBNET", "IPV6SUBNET", "PUBLIC_IP", "PUBLIC_IPV6"],
  SubnetAddCommand: ["SUBNET", "IPV6SUBNET", "PUBLIC_IP", "PUBLIC_IPV6"],
  SubnetRemoveCommand: ["SUBNET", "IPV6SUBNET", "PUBLIC_IP", "PUBLIC_IPV6"],
  ShutdownCommand: ["NETWORK", "SUBNET", "IPV6SUBNET", "PUBLIC_IP", "PUBLIC_IPV6"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type CommandName = keyof typeof COMMANDS;

/** The program and its words; `$SUBNET` stands for a value. */
export type Template = readonly string[];

export interface Commands {
  readonly commands: Readonly<Partial<Record<CommandName, Template>>>;
  readonly timeoutMs: number;
}

const TIMEOUT_S = { default: 30, min: 1, max: 600 };
const WORDS_MAX = 64;
const WORD_LENGTH_MAX = 4_096;

/** `$NAME`, `${NAME}`, or `$$` for the sign itself. */
const VARIABLE = /\$(?:\$|(\w+)|\{(\w+)\})?/g;

/** What only a shell knows what to do with. Quotes around one word are not of them. */
const SHELL = /[;&|<>`()\\*?~'#=]|\$\(/;

/** Keys in any case, as flannel reads them. @throws `CONFIG_INVALID` */
export function parseCommands(json: Json): Commands {
  const commands: Partial<Record<CommandName, Template>> = {};
  let timeoutMs = TIMEOUT_S.default * 1_000;
  for (const [given, value] of Object.entries((json ?? {}) as Record<string, Json>)) {
    const lower = given.toLowerCase();
    const name = commandNames().find((known) => known.toLowerCase() === lower);
    if (name !== undefined) {
      const template = templateOf(name, value);
      if (template !== undefined) commands[name] = template;
    } else if (lower === "commandtimeout") timeoutMs = timeoutOf(value);
    else if (lower !== "type") {
      throw new DenimError("CONFIG_INVALID", `Unknown key "${given}" of the extension backend`, {
        why: "a command under a wrong name would never be run",
        fix: `the keys are Type, ${commandNames().join(", ")}, CommandTimeout`,
      });
    }
  }
  return { commands, timeoutMs };
}

/**
 * Puts values in the place of variables. Each word stays one word.
 *
 * @returns the name of what has no value, where there is such
 */
export function fillIn(
  template: Template,
  env: Readonly<Record<string, string>>,
): { readonly argv: Template } | { readonly missing: string } {
  let missing: string | undefined;
  const argv = template.map((word) =>
    word.replace(VARIABLE, (all, plain?: string, braced?: string) => {
      const name = plain ?? braced;
      if (name === undefined) return all === "$$" ? "$" : all;
      const value = env[name];
      if (value === undefined) missing ??= name;
      return value ?? "";
    })
  );
  return missing === undefined ? { argv } : { missing };
}

function commandNames(): CommandName[] {
  return Object.keys(COMMANDS) as CommandName[];
}

/** flannel takes an empty command for none. */
function templateOf(name: CommandName, value: Json): Template | undefined {
  if (value === null || value === "") return undefined;
  if (typeof value === "string") throw refuseText(name, value);
  if (!Array.isArray(value) || value.length === 0 || !value.every(isWord)) {
    throw invalid(name, "it is not a list of words", '["ip", "route", "replace", "$SUBNET"]');
  }
  const words = value as readonly string[];
  if (words.length > WORDS_MAX) throw invalid(name, `it has more than ${WORDS_MAX} words`);
  const program = words[0]!;
  if (program === "" || program.includes("$") || /^(?!\/).*\//.test(program)) {
    throw invalid(name, `"${program}" is no program: a name, or a path from the root, is`);
  }
  const known: readonly string[] = COMMANDS[name];
  for (const [all, plain, braced] of words.join("\n").matchAll(VARIABLE)) {
    const variable = plain ?? braced;
    if (all === "$$" || known.includes(variable ?? "")) continue;
    const has = known.length === 0 ? "it has no variables" : `it has ${known.join(", ")}`;
    throw invalid(name, `${all} is no variable of it: ${has}`, 'for the sign itself: "$$"');
  }
  return words;
}

function isWord(value: Json): boolean {
  return typeof value === "string" && value.length <= WORD_LENGTH_MAX && !value.includes("\0");
}

function refuseText(name: CommandName, text: string): DenimError {
  const words = text.replaceAll('"', "").split(/\s+/).filter(Boolean);
  const fix = SHELL.test(text)
    ? `put it into a script on every host, and name that: "${name}": ["/usr/local/sbin/${
      name.replace("Command", "").replace(/(?<=.)[A-Z]/g, "-$&").toLowerCase()
    }"]`
    : `"${name}": ${JSON.stringify(words)}`;
  return invalid(name, "it is one text, and no shell is there to take it apart", fix);
}

function timeoutOf(value: Json): number {
  const { min, max } = TIMEOUT_S;
  if (typeof value === "number" && value >= min && value <= max) return Math.round(value * 1_000);
  throw invalid("CommandTimeout", `it must be a number of seconds from ${min} to ${max}`);
}

function invalid(name: string, why: string, fix?: string): DenimError {
  const message = `Cannot use ${name} of the extension backend`;
  return new DenimError("CONFIG_INVALID", message, fix === undefined ? { why } : { why, fix });
}
