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
  // Built up as one text: this runs several times for every entry of the log.
  let members = "";
  for (const key of Object.keys(record).sort()) {
    const member = record[key];
    if (member === undefined) continue;
    if (members !== "") members += ",";
    members += `${JSON.stringify(key)}:${canonical(member)}`;
  }
  return `{${members}}`;
}
