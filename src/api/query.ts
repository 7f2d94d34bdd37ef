import type { Context } from "hono";
import * as v from "valibot";
import { DenimError } from "../base/errors.ts";
import type { Consistency } from "./service.ts";

/** @throws `REQUEST_INVALID` on a parameter that the route does not know: a typo is not silent */
export function onlyKnown(context: Context, known: readonly string[]): void {
  const unknown = Object.keys(context.req.query()).filter((name) => !known.includes(name));
  if (unknown.length === 0) return;
  throw new DenimError("REQUEST_INVALID", `Unknown parameter "${unknown[0]}"`, {
    why: known.length === 0 ? "there are none here" : `there are: ${known.join(", ")}`,
  });
}

export function consistencyOf(context: Context): Consistency {
  const given = context.req.query("consistency") ?? "stale";
  if (given === "stale" || given === "linearizable") return given;
  throw new DenimError("REQUEST_INVALID", `Unknown consistency "${given}"`, {
    why: 'it is "stale" (this node\'s copy, at once) or "linearizable"',
  });
}

/** @throws `REQUEST_INVALID` */
export function flagOf(context: Context, name: string): boolean {
  const given = context.req.query(name) ?? "false";
  if (given === "true" || given === "false") return given === "true";
  throw new DenimError("REQUEST_INVALID", `${name} is true or false, not "${given}"`);
}

/** @throws `REQUEST_INVALID` on anything but an object */
export async function jsonBody(context: Context): Promise<object> {
  let body: unknown;
  try {
    body = await context.req.json();
  } catch (cause) {
    throw new DenimError("REQUEST_INVALID", "The body is not JSON", {
      why: (cause as Error).message,
      cause,
    });
  }
  if (typeof body === "object" && body !== null && !Array.isArray(body)) return body;
  throw new DenimError("REQUEST_INVALID", "The body is not a JSON object");
}

/** @throws `REQUEST_INVALID`, naming the part that is wrong */
export function readBody<Schema extends v.GenericSchema>(
  schema: Schema,
  body: unknown,
  what: string,
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, body);
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new DenimError("REQUEST_INVALID", `${what} cannot be read`, {
    why: `${v.getDotPath(issue) ?? "it"}: ${issue.message}`,
  });
}

/** A subnet in a path is spelled as flannel does: `10.244.1.0-24`. */
export function subnetInPath(text: string): string {
  return text.replace(/-([0-9]+)$/, "/$1");
}
