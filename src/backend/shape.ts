import { type Address, widthOf } from "../ip/address.ts";
import { isMac, isUnicast } from "../ip/mac.ts";
import { type Prefix, prefixOf } from "../ip/prefix.ts";

/** What is wrong with a value, as the end of "it is …"; `undefined`: nothing. */
export type Check = (value: unknown) => string | undefined;
/** One check for each member of a shape, those that may be absent included. */
export type Shape<T> = { readonly [K in keyof Required<T>]: Check };

const NAME_MAX = 15;
/** What a message shows of a value that is not as it should be. */
const SHOWN_MAX = 60;

/** A member that is not known would be passed over, and most likely it is one that was misspelt. */
export function shape(value: unknown, checks: Readonly<Record<string, Check>>): string | undefined {
  if (typeof value !== "object" || value === null) return `that is ${shown(value)}`;
  const members = value as Readonly<Record<string, unknown>>;
  for (const [name, check] of Object.entries(checks)) {
    const wrong = check(members[name]);
    if (wrong !== undefined) return `whose ${name} is ${shown(members[name])}, ${wrong}`;
  }
  const unknown = Object.keys(members).find((name) => !Object.hasOwn(checks, name));
  return unknown && `with "${unknown}", which it cannot have`;
}

/** Each of a list, which may be empty. */
export function listOf(check: Check): Check {
  return (value) => {
    if (!Array.isArray(value)) return "no array";
    const at = value.findIndex((one) => check(one) !== undefined);
    return at < 0 ? undefined : `no array of such: [${at}] is ${check(value[at])}`;
  };
}

export function optional(check: Check): Check {
  return (value) => value === undefined ? undefined : check(value);
}

export function known(): undefined {}

export function text(value: unknown): string | undefined {
  return typeof value === "string" ? undefined : "no text";
}

export function yesOrNo(value: unknown): string | undefined {
  return typeof value === "boolean" ? undefined : "neither true nor false";
}

export function whole(min: number, max: number): Check {
  return (value) =>
    typeof value === "number" && Number.isInteger(value) && value >= min && value <= max
      ? undefined
      : `no whole number from ${min} to ${max}`;
}

export function linkName(value: unknown): string | undefined {
  const isName = typeof value === "string" && value.length <= NAME_MAX && /^[^\s/]+$/.test(value);
  return isName ? undefined : "no name of a link";
}

export function mac(value: unknown): string | undefined {
  const isFit = typeof value === "string" && isMac(value) && isUnicast(value);
  return isFit ? undefined : "no MAC address of a single station, in lower case";
}

export function address(value: unknown): string | undefined {
  const { family, value: number } = (value ?? {}) as Partial<Address>;
  const isFit = (family === 4 || family === 6) && typeof number === "bigint" && number >= 0n &&
    number < 1n << BigInt(widthOf(family));
  return isFit ? undefined : "no address (parseAddress makes one)";
}

export function prefix(value: unknown): string | undefined {
  const { family, base, length } = (value ?? {}) as Partial<Prefix>;
  if (address({ family, value: base }) !== undefined) return "no block (parsePrefix makes one)";
  if (whole(0, widthOf(family!))(length) !== undefined) return "a block with a length out of range";
  const isEven = prefixOf({ family: family!, value: base! }, length!).base === base;
  return isEven ? undefined : "a block whose host bits are not zero";
}

export function shown(value: unknown): string {
  if (value === undefined || typeof value === "function") return typeof value;
  const text = JSON.stringify(value, (_, part) => typeof part === "bigint" ? String(part) : part);
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX - 1)}…` : text;
}
