/**
 * Replays interaction scripts against the core and compares.
 *
 *   node test/raft/scenarios.ts DIR
 *
 * prints `PASS|FAIL|SKIP name` for every `*.txt` in DIR and closes with the counts; a failure makes
 * the exit status 1. Log lines are left out of the comparison, and messages that stand together
 * are compared without regard to their order; everything else has to be equal.
 */
import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { option, runDirective } from "./script-commands.ts";
import { type Directive, parseScript } from "./script-parser.ts";
import { Stage } from "./script-stage.ts";

export type Outcome =
  | { readonly kind: "PASS"; readonly name: string; readonly blocks: number }
  | { readonly kind: "FAIL"; readonly name: string; readonly difference: string }
  | { readonly kind: "SKIP"; readonly name: string; readonly reason: string };

export function replayFolder(folder: string): Outcome[] {
  return globSync("*.txt", { cwd: folder }).sort().map((file) => replayFile(join(folder, file)));
}

export function replayFile(path: string): Outcome {
  return replay(basename(path, ".txt"), readFileSync(path, "utf8"));
}

export function replay(name: string, text: string): Outcome {
  const script = parseScript(text);
  const reason = script.map(missing).find((found) => found !== undefined);
  if (reason !== undefined) return { kind: "SKIP", name, reason };
  const stage = new Stage();
  for (const directive of script) {
    const difference = differenceOf(stage, directive);
    if (difference !== undefined) return { kind: "FAIL", name, difference };
  }
  return { kind: "PASS", name, blocks: script.length };
}

/** Why a script cannot be replayed: it needs something that the core does not have by design. */
function missing(directive: Directive): string | undefined {
  const is = (key: string, value: string) => option(directive, key) === value;
  switch (directive.command) {
    case "forget-leader":
      return "forget-leader";
    case "add-nodes":
      if (is("async-storage-writes", "true")) return "asynchronous storage writes";
      if (is("disable-conf-change-validation", "true")) return "changes without validation";
      return is("read-only", "lease-based") ? "reads that trust a lease" : undefined;
    case "propose-conf-change": {
      const changes = directive.input.join(" ").split(/\s+/).filter((word) => word !== "");
      const transition = option(directive, "transition") ?? "auto";
      return transition !== "auto" || changes.length !== 1 ? "joint changes" : undefined;
    }
    default:
      return undefined;
  }
}

function differenceOf(stage: Stage, directive: Directive): string | undefined {
  const wanted = normalized(directive.expected);
  let found: string[];
  try {
    found = normalized(runDirective(stage, directive));
  } catch (error) {
    found = [`(the core stopped) ${error instanceof Error ? error.message : error}`];
  }
  if (wanted.join("\n") === found.join("\n")) return undefined;
  const words = directive.arguments.map(({ key, values }) => values.length ? `${key}=…` : key);
  return [
    `line ${directive.line}: ${[directive.command, ...words].join(" ")}`,
    "  wanted:",
    ...wanted.map((line) => `    ${line}`),
    "  found:",
    ...found.map((line) => `    ${line}`),
  ].join("\n");
}

const LOG_LINE = /^\s*(DEBUG|INFO|WARN|ERROR|FATAL) /;
const MESSAGE_LINE = /^\s*(dropped: )?[0-9a-f]+->[0-9a-f]+ Msg\w+ /;
const HEADING =
  /^(\s*(Ready|Lead:|HardState|ReadStates|Entries:|Snapshot |CommittedEntries:|Messages:)|> )/;

/** Without log lines, and with each run of messages in one fixed order. */
function normalized(lines: readonly string[]): string[] {
  const kept = lines.filter((line) => !LOG_LINE.test(line) && line.trim() !== "");
  const result: string[] = [];
  let run: string[] = [];
  const endRun = () => {
    result.push(...run.sort());
    run = [];
  };
  for (const line of kept) {
    if (MESSAGE_LINE.test(line)) run.push(line);
    else if (run.length > 0 && !HEADING.test(line)) run.push(`${run.pop()}\n${line}`);
    else {
      endRun();
      result.push(line);
    }
  }
  endRun();
  return result.length === 0 ? ["ok"] : result;
}

function main(folder: string | undefined): number {
  if (folder === undefined) {
    console.error("usage: node test/raft/scenarios.ts DIR");
    return 2;
  }
  const outcomes = replayFolder(folder);
  for (const outcome of outcomes) {
    const reason = outcome.kind === "SKIP" ? ` (${outcome.reason})` : "";
    console.log(`${outcome.kind} ${outcome.name}${reason}`);
    if (outcome.kind === "FAIL") console.log(outcome.difference);
  }
  const count = (kind: Outcome["kind"]) => outcomes.filter((one) => one.kind === kind).length;
  const failed = count("FAIL");
  console.log(`${count("PASS")} passed, ${failed} failed, ${count("SKIP")} skipped`);
  return failed > 0 || outcomes.length === 0 ? 1 : 0;
}

if (import.meta.main) process.exitCode = main(process.argv[2]);
