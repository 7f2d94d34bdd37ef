import { Hono } from "hono";
import * as v from "valibot";
import { consistencyOf, jsonBody, onlyKnown, readBody, subnetInPath } from "./query.ts";
import type { Service } from "./service.ts";

const requestSchema = v.strictObject({
  /** The name of a node, which need not have joined yet; without it nobody gets the subnet. */
  node: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(63))),
});

/** Subnets that are set aside. */
export function reservationRoutes(service: Service): Hono {
  const app = new Hono();
  app.get("/", async (context) => {
    onlyKnown(context, ["consistency"]);
    return context.json({ items: await service.reservations(consistencyOf(context)) });
  });
  app.put("/:subnet", async (context) => {
    onlyKnown(context, []);
    const { node } = readBody(requestSchema, await jsonBody(context), "The reservation");
    return context.json(await service.reserve(subnetInPath(context.req.param("subnet")), node));
  });
  app.delete("/:subnet", async (context) => {
    onlyKnown(context, []);
    return context.json(await service.release(subnetInPath(context.req.param("subnet"))));
  });
  return app;
}
