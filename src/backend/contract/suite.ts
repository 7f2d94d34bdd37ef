import { DenimError } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import type { Backend, Json } from "../backend.ts";
import { type Promised, PROMISES } from "./promises.ts";
import { Broken, type Prints, reasonOf, tryScene } from "./trial.ts";

export interface SuiteOptions {
  /** `Backend` parts of network configs that the backend has to take. */
  readonly configs: readonly Json[];
  /** Of the first scene; the others follow. */
  readonly seed: number;
  /** Scenes for each promise and config. */
  readonly scenes: number;
  /** What the program prints that it has run first: on the hosts, in turn. @default nothing */
  readonly prints?: Prints;
}

export const DEFAULT_SUITE = { seed: 1, scenes: 100 } as const;

/** What came of one promise. */
export interface Verdict {
  readonly name: string;
  /** Absent: it is kept. */
  readonly failure?: {
    /** Of the scene: the same one is met again by it. */
    readonly seed: number;
    readonly config: Json;
    readonly why: string;
    /** What was thrown, where it was something that was. */
    readonly cause?: unknown;
  };
}

/** The names of all promises, in their order. */
export const PROMISE_NAMES: readonly string[] = PROMISES.map(({ name }) => name);

/** Has a backend keep one promise in many made-up clusters; stops at the first where it does not. */
export async function judge(
  backend: Backend,
  name: string,
  options: SuiteOptions,
): Promise<Verdict> {
  const promised = PROMISES.find((one) => one.name === name)!;
  for (const config of options.configs) {
    const failure = await judgeWith(backend, promised, config, options);
    if (failure !== undefined) return { name, failure };
  }
  return { name };
}

async function judgeWith(
  backend: Backend,
  { check }: Promised,
  config: Json,
  { seed, scenes, prints }: SuiteOptions,
): Promise<Verdict["failure"]> {
  let played = 0;
  let refusal: DenimError | undefined;
  for (let at = seed; at < seed + scenes; at++) {
    try {
      const trial = await tryScene(backend, config, seededRandom(at), prints);
      if (trial instanceof DenimError) {
        refusal = trial;
        continue;
      }
      played++;
      await check(trial);
    } catch (error) {
      const why = error instanceof Broken ? error.message : reasonOf(error);
      return { seed: at, config, why, cause: causeOf(error) };
    }
  }
  if (played > 0 || refusal === undefined) return undefined;
  const isMute = prints === undefined && await printsFirst(backend, config);
  const hint = isMute ? " (what its program prints has to be given: --printed TEXT)" : "";
  const why = `no host can take part: ${reasonOf(refusal)}${hint}`;
  return { seed, config, why, cause: refusal };
}

async function printsFirst(backend: Backend, config: Json): Promise<boolean> {
  return (await backend.programs?.(backend.parseConfig(config)))?.first !== undefined;
}

/** Where it was thrown is of interest; what the suite has made of it is not. */
function causeOf(error: unknown): unknown {
  return error instanceof Broken ? error.cause : error;
}
