import { Argument, type Command } from "commander";
import type { Register } from "./command.ts";

/** `denim completion bash`: what a shell has to know, made of the very commands that there are. */
export const registerCompletion: Register = (program, { io }) => {
  program.command("completion")
    .description("print what bash needs to complete commands: source <(denim completion bash)")
    .addArgument(new Argument("<shell>", "for which shell").choices(["bash"]))
    .action(() => io.out(bashCompletion(program)));
};

interface Level {
  /** The commands so far: `token create`; empty for the first. */
  readonly path: string;
  /** What may come next. */
  readonly words: readonly string[];
}

/** A bash function that needs no `denim` while somebody types. */
export function bashCompletion(program: Command): string {
  const levels = levelsOf(program, "");
  const known = levels.filter(({ path }) => path !== "")
    .map(({ path }) => `'${path.includes(" ") ? path : ` ${path}`}'`);
  return `# Completes denim in bash; made by: denim completion bash
_denim() {
  local current=\${COMP_WORDS[COMP_CWORD]} path='' words='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path $word" in
      ${known.join(" | ")}) path="\${path:+$path }$word" ;;
    esac
  done
  case $path in
${levels.map(({ path, words }) => `    '${path}') words='${words.join(" ")}' ;;`).join("\n")}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _denim denim
`;
}

function levelsOf(command: Command, path: string): Level[] {
  const help = command.createHelp();
  const children = help.visibleCommands(command);
  const options = help.visibleOptions(command).map(({ long, short }) => long ?? short!);
  const names = children.map((child) => child.name());
  const below = children.filter((child) => child.name() !== "help")
    .flatMap((child) => levelsOf(child, path === "" ? child.name() : `${path} ${child.name()}`));
  return [{ path, words: [...names, ...options] }, ...below];
}
