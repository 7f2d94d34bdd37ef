import { DenimError } from "../../base/errors.ts";
import { goBoolean } from "../../base/go-values.ts";
import { FLANNELD_FLAGS, type FlanneldFlag } from "./table.ts";
import { sortWords, splitWords } from "./words.ts";

export interface Translated {
  /** For Denim's own parser. */
  readonly words: readonly string[];
  /** What was taken and has no effect, a sentence each. */
  readonly notes: readonly string[];
}

type Env = Readonly<Record<string, string | undefined>>;

/** A value, and who says it: `-iface`, or the name of a variable. */
interface Given {
  readonly values: readonly string[];
  readonly by: string;
}

/**
 * A command line for flanneld, with its environment, as one for Denim. What is typed counts before
 * `FLANNEL_OPTIONS`, that before `FLANNEL_ETCD_…` (names of the packages of CentOS and Fedora), and
 * that before `FLANNELD_…`.
 *
 * @throws `USAGE` for what Denim does not do, with its way to do it
 */
export function translate(typed: readonly string[], env: Env): Translated {
  const [own, packaged] = [typed, splitWords(env["FLANNEL_OPTIONS"] ?? "")]
    .map((words) => sortWords(words, FLANNELD_FLAGS));
  const words: string[] = [];
  const notes: string[] = [];
  for (const flag of FLANNELD_FLAGS) {
    const given = whoSays(flag, env, [
      ["", own!.given],
      ["FLANNEL_OPTIONS: ", packaged!.given],
    ]);
    if (given === undefined) continue;
    const value = theValue(flag, given);
    checkValue(flag, value, given.by);
    const { treatment } = flag;
    if (treatment.kind === "mapped") words.push(...mappedWords(flag, treatment, value));
    else if (isFallback(flag, value)) continue;
    else if (treatment.kind === "unneeded") {
      notes.push(`${given.by} has no effect: ${plain(treatment.why)}`);
    } else throw refusal(given.by, treatment);
  }
  return { words: [...words, ...packaged!.rest, ...own!.rest], notes };
}

/** Variables that are empty say nothing, as in the files that packages install. */
function whoSays(
  { name }: FlanneldFlag,
  env: Env,
  lines: readonly (readonly [string, ReadonlyMap<string, readonly string[]>])[],
): Given | undefined {
  for (const [where, given] of lines) {
    const values = given.get(name);
    if (values !== undefined) return { values, by: `${where}-${name}` };
  }
  const upper = name.toUpperCase().replaceAll("-", "_");
  const variables = [
    ...(name === "etcd-endpoints" || name === "etcd-prefix" ? [`FLANNEL_${upper}`] : []),
    `FLANNELD_${upper}`,
  ];
  const variable = variables.find((variable) => env[variable]);
  return variable === undefined ? undefined : { values: [env[variable]!], by: variable };
}

/** The last one counts, but of a list each one. */
function theValue({ name, type }: FlanneldFlag, { values, by }: Given): string {
  const different = [...new Set(values)];
  if (type !== "list" || different.length === 1) return values.at(-1)!;
  throw new DenimError("USAGE", `${by} is given ${different.length} times`, {
    why: "Denim takes one, and stays with the interface that it names",
    fix: name === "iface"
      ? `-iface-regex '^(${different.join("|")})$'`
      : `-${name} '${different.map((value) => `(${value})`).join("|")}'`,
  });
}

/** @throws `USAGE` in the words of Go, and of flannel where it has its own */
function checkValue({ type, range }: FlanneldFlag, value: string, by: string): void {
  if (type === "switch" && goBoolean(value) === undefined) {
    throw new DenimError("USAGE", `Invalid boolean value "${value}" for ${by}`, {
      fix: `${by}=true, or ${by}=false`,
    });
  }
  if (type !== "number" || range === undefined) return;
  const number = /^[+-]?\d+$/.test(value) ? Number(value) : NaN;
  if (number >= range[0] && number <= range[1]) return;
  const [min, max] = range;
  throw new DenimError("USAGE", `Invalid value "${value}" for ${by}, out of acceptable range`, {
    why: `it is a number from ${min} to ${max}`,
  });
}

function mappedWords(
  { name, type, fallback }: FlanneldFlag,
  { to, off }: { readonly to: string; readonly off?: string },
  value: string,
): string[] {
  if (name === "v") return Number(value) > 0 ? to.split(" ") : [];
  if (type === "switch") return goBoolean(value) ? [to] : off === undefined ? [] : [off];
  return value === "" && fallback === "" ? [] : [`${to}=${value}`];
}

function isFallback({ type, fallback }: FlanneldFlag, value: string): boolean {
  if (type === "switch") return goBoolean(value) === goBoolean(fallback);
  return type === "number" ? Number(value) === Number(fallback) : value === fallback;
}

function refusal(
  by: string,
  { why, fix }: { readonly why: string; readonly fix: string },
): DenimError {
  return new DenimError("USAGE", `Denim does not take ${by}`, {
    why: plain(why),
    fix: plain(fix),
  });
}

/** The table's words are for a page. */
function plain(text: string): string {
  return text.replaceAll("`", "");
}
