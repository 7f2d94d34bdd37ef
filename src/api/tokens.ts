import { Hono } from "hono";
import * as v from "valibot";
import { DenimError } from "../base/errors.ts";
import { tryParsePrefix } from "../ip/prefix.ts";
import { jsonBody, onlyKnown, readBody } from "./query.ts";
import type { Service, TokenRequest } from "./service.ts";

const block = v.pipe(
  v.string(),
  v.maxLength(64),
  v.check((text) => tryParsePrefix(text) !== undefined, "it is not a CIDR block"),
);

/** No CA that a token pins is good for longer; and a date has to be one. */
const TTL_MAX_MS = 3_650 * 86_400_000;
const TOO_LONG = "a token is good for 3650 days at most";

const requestSchema = v.strictObject({
  /** Without it a server's, or an ephemeral agent's. */
  role: v.optional(v.picklist(["server", "agent"])),
  /** `null`: any number of times. */
  uses: v.optional(v.nullable(v.pipe(v.number(), v.safeInteger(), v.minValue(1))), 1),
  ttlMs: v.optional(
    v.pipe(v.number(), v.safeInteger(), v.minValue(1_000), v.maxValue(TTL_MAX_MS, TOO_LONG)),
    3_600_000,
  ),
  /** Id or name of a member: it may come back, nobody may join. */
  node: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(128))),
  name: v.optional(v.pipe(v.string(), v.maxLength(64))),
  from: v.optional(v.pipe(v.array(block), v.minLength(1), v.maxLength(32))),
  subnet: v.optional(block),
  ephemeral: v.optional(v.boolean()),
});

/** Permissions to join. Only on the socket: what is listed here is nobody else's business. */
export function tokenRoutes(service: Service): Hono {
  const app = new Hono();
  app.get("/", (context) => {
    onlyKnown(context, []);
    return context.json({ items: service.tokens() });
  });
  app.post("/", async (context) => {
    onlyKnown(context, []);
    const request = readBody(requestSchema, await jsonBody(context), "The token request");
    const made = await service.createToken(tokenRequestOf(request));
    return context.json(made, 201);
  });
  app.delete("/:id", async (context) => {
    onlyKnown(context, []);
    await service.revokeToken(context.req.param("id"));
    return context.json({ revoked: context.req.param("id") });
  });
  return app;
}

/** @throws `REQUEST_INVALID` */
function tokenRequestOf(request: v.InferOutput<typeof requestSchema>): TokenRequest {
  const { role = request.ephemeral ? "agent" : "server", uses, ttlMs, ...more } = request;
  if (request.ephemeral && role === "server") {
    throw new DenimError("REQUEST_INVALID", "An ephemeral host cannot be a server", {
      why: "it is gone soon after it falls silent, and the log would be with it",
      fix: "leave --role out, or the word ephemeral",
    });
  }
  // Absent, not undefined: what is in the log is canonical.
  const given = Object.fromEntries(Object.entries(more).filter(([, value]) => value !== undefined));
  return { role, uses, ttlMs, ...given };
}
