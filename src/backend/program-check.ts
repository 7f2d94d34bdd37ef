import { DenimError } from "../base/errors.ts";
import type { Invocation } from "../plan/hook.ts";
import type { ProgramUse } from "./backend.ts";
import { type Check, listOf, optional, type Shape, shape, text, whole } from "./shape.ts";

/** What a backend may wait for one of its programs at most. */
const TIMEOUT_MS_MAX = 600_000;

const INVOCATION: Shape<Invocation> = {
  name: (value) => typeof value === "string" && value !== "" ? undefined : "no name",
  argv: words,
  env: variables,
  input: text,
  timeoutMs: whole(1, TIMEOUT_MS_MAX),
};

const USE: Shape<ProgramUse> = {
  argvs: listOf(words),
  first: optional(invocation),
};

/** Of the right shape, that is: whether it may be run is for the host to say. */
export function invocation(value: unknown): string | undefined {
  return shape(value, INVOCATION);
}

/**
 * Whether a backend's answer names programs.
 *
 * @returns the same value
 * @throws `BACKEND_FAILED`: what is wrong with it
 */
export function checkProgramUse(value: unknown): ProgramUse {
  const wrong = shape(value, USE);
  if (wrong === undefined) return value as ProgramUse;
  throw new DenimError("BACKEND_FAILED", "The programs of the backend cannot be used", {
    why: `it is an answer ${wrong}`,
    fix: "denim backend test DIR shows what a backend has to keep to",
  });
}

function words(value: unknown): string | undefined {
  if (listOf(word)(value) !== undefined) return "no list of words";
  return (value as string[])[0] ? undefined : "no list that begins with a program";
}

function variables(value: unknown): string | undefined {
  const isPlain = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isPlain) return "no object of texts";
  const bad = Object.entries(value).find(([name, given]) => !/^\w+$/.test(name) || word(given));
  return bad && `no object of texts: ${JSON.stringify(bad[0])} cannot be in an environment`;
}

/** A program cannot be given a NUL. */
const word: Check = (value) =>
  typeof value === "string" && !value.includes("\0") ? undefined : "no word";
