import { Hono } from "hono";
import { onlyKnown } from "./query.ts";
import type { Service } from "./service.ts";

/** This node's own view: who it is, its part in Raft, its farewell; and the cluster's hold. */
export function clusterRoutes(service: Service, rights: "all" | "read"): Hono {
  const app = new Hono();
  app.get("/self", (context) => {
    onlyKnown(context, []);
    return context.json({ ...service.status(), rights });
  });
  app.get("/raft", (context) => {
    onlyKnown(context, []);
    return context.json(service.raft());
  });
  app.post("/hold/release", async (context) => {
    onlyKnown(context, []);
    return context.json(await service.releaseHold());
  });
  app.post("/leave", async (context) => {
    onlyKnown(context, []);
    return context.json(await service.leave());
  });
  return app;
}
