import { Hono } from "hono";
import * as v from "valibot";
import { jsonBody, onlyKnown, readBody } from "./query.ts";
import type { Service } from "./service.ts";

const rotateSchema = v.strictObject({ leaveSilent: v.optional(v.boolean(), false) });

/** Who vouches for the cluster's nodes, and putting another one in its place. */
export function caRoutes(service: Service): Hono {
  const app = new Hono();
  app.get("/", (context) => {
    onlyKnown(context, []);
    return context.json(service.ca());
  });
  app.post("/rotate", async (context) => {
    onlyKnown(context, []);
    const request = readBody(rotateSchema, await jsonBody(context), "The request to rotate");
    return context.json(await service.rotateCa(request), 202);
  });
  return app;
}
