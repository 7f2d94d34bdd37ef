import { Hono } from "hono";
import * as v from "valibot";
import { DenimError } from "../base/errors.ts";
import { jsonBody, onlyKnown } from "./query.ts";
import type { Service } from "./service.ts";

const requestSchema = v.strictObject({
  role: v.optional(v.picklist(["server", "agent"]), "server"),
  /** `null`: any number of times. */
  uses: v.optional(v.nullable(v.pipe(v.number(), v.safeInteger(), v.minValue(1))), 1),
  ttlMs: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1_000)), 3_600_000),
  name: v.optional(v.pipe(v.string(), v.maxLength(64))),
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
    const result = v.safeParse(requestSchema, await jsonBody(context));
    if (!result.success) {
      const issue = result.issues[0];
      throw new DenimError("REQUEST_INVALID", "The token request cannot be read", {
        why: `${v.getDotPath(issue) ?? "it"}: ${issue.message}`,
      });
    }
    const { name, ...request } = result.output;
    const made = await service.createToken({ ...request, ...(name === undefined ? {} : { name }) });
    return context.json(made, 201);
  });
  app.delete("/:id", async (context) => {
    onlyKnown(context, []);
    await service.revokeToken(context.req.param("id"));
    return context.json({ revoked: context.req.param("id") });
  });
  return app;
}
