import { assert } from "./errors.ts";

/** What may be hashed: JSON without fractions, `undefined`, or numbers beyond 2^53. */
export type Canonical =
  | null
  | boolean
  | number
  | string
  | readonly Canonical[]
  | { readonly [key: string]: Canonical | undefined };

/**
 * The one text of a value: keys sorted by code unit, no blanks, safe integers only, members that
 * are `undefined` left out. Two replicas that hold equal values produce equal bytes, so digests
 * can be compared.
 */
export function canonical(value: Canonical): string {
  if (typeof value === "number") {
    assert(Number.isSafeInteger(value), `canonical numbers are safe integers: ${value}`);
    return String(value);
  }
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const record = value as { readonly [key: string]: Canonical | undefined };
  const members = Object.keys(record).filter((key) => record[key] !== undefined).sort();
  return `{${members.map((key) => `${JSON.stringify(key)}:${canonical(record[key]!)}`).join(",")}}`;
}
