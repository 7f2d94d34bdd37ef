import { type Command, Option } from "commander";
import type { Json } from "../../backend/backend.ts";
import { systemClock } from "../../base/clock.ts";
import { DenimError } from "../../base/errors.ts";
import { formatWords } from "../../plan/hook.ts";
import { print } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { plain } from "../output.ts";
import type { TrialResult } from "./trials.ts";

interface TestFlags {
  readonly config?: string;
  readonly seed: string;
  readonly scenes: string;
  readonly printed?: readonly string[];
  readonly json?: boolean;
}

/** Whoever wants more has another idea of an afternoon. */
const SCENES_MAX = 100_000;

/** `denim backend test DIR`: the contract that every built-in backend keeps, and the author's tests. */
export function registerBackendTest(parent: Command, context: CommandContext): void {
  parent.command("test")
    .description("whether a backend keeps the contract, in made-up clusters; then its own tests")
    .argument("<dir>", "the folder that has its mod.ts")
    .addOption(new Option("--config <json>", "its Backend config; else those in its README"))
    .addOption(new Option("--seed <n>", "of the first cluster").default("1"))
    .addOption(new Option("--scenes <n>", "clusters for each sentence").default("100"))
    .addOption(
      new Option("--printed <text>", "what its first program prints; again for the next host")
        .argParser((text, before: readonly string[] = []) => [...before, text]),
    )
    .option("--json", "print one JSON document")
    .action(async (dir: string, flags: TestFlags) => {
      const [{ backendAt }, { tryBackend }] = await Promise.all([
        import("../../host/backends/folder.ts"),
        import("./trials.ts"),
      ]);
      const folder = backendAt(dir);
      const wish = {
        seed: wholeOf("--seed", flags.seed, 2 ** 32 - SCENES_MAX),
        scenes: wholeOf("--scenes", flags.scenes, SCENES_MAX),
        ...(flags.config === undefined ? {} : { configs: [jsonOf(flags.config)] }),
        ...(flags.printed === undefined ? {} : { prints: flags.printed }),
      };
      const isLive = flags.json !== true && context.io.env["DENIM_OUTPUT"] !== "json";
      const results: TrialResult[] = [];
      for await (
        const result of tryBackend({ folder, clock: systemClock(), draft: true, ...wish })
      ) {
        results.push(result);
        if (isLive) context.io.out(renderResult(result));
      }
      const failed = results.filter(({ ok }) => !ok);
      const passed = results.length - failed.length;
      const answer = { name: folder.name, file: folder.entry, results };
      print(context, flags, answer, () => `${passed} passed, ${failed.length} failed\n`);
      const [first] = failed;
      if (first === undefined) return;
      throw new DenimError("CHECKS_FAILED", `The backend "${folder.name}" fails at ${first.name}`, {
        ...(first.why === undefined ? {} : { why: plain(first.why) }),
        fix: `once it is put right: ${again(dir, flags, first)}`,
      });
    });
}

/** The command that tries the same scene again. */
function again(dir: string, { config, printed = [] }: TestFlags, { seed }: TrialResult): string {
  const argv = [
    ...["denim", "backend", "test", dir],
    ...(config === undefined ? [] : ["--config", config]),
    ...printed.flatMap((text) => ["--printed", text]),
    ...(seed === undefined ? [] : ["--seed", String(seed), "--scenes", "1"]),
  ];
  return formatWords(argv);
}

function renderResult({ name, ok, why, seed }: TrialResult): string {
  const where = seed === undefined ? "" : `seed ${seed}: `;
  const reason = why === undefined ? "" : `        ${where}${plain(why)}\n`;
  return `${ok ? "ok    " : "FAILED"}  ${plain(name)}\n${reason}`;
}

function wholeOf(flag: string, text: string, max: number): number {
  const n = Number(text);
  if (/^\d{1,10}$/.test(text) && n >= 1 && n <= max) return n;
  throw new DenimError("USAGE", `"${text}" is no number from 1 to ${max}`, { fix: `${flag} 7` });
}

function jsonOf(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (cause) {
    throw new DenimError("USAGE", `"${text}" is no JSON`, {
      fix: `--config '{"Type": "mine"}'`,
      cause,
    });
  }
}
