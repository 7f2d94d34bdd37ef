import { Hono } from "hono";
import { DenimError } from "../base/errors.ts";
import { consistencyOf, flagOf, jsonBody, onlyKnown } from "./query.ts";
import type { Service } from "./service.ts";

/** This node's own view, its farewell, and what concerns the cluster as a whole. */
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
  app.put("/voters", async (context) => {
    onlyKnown(context, []);
    const { voters } = await jsonBody(context) as { voters?: unknown };
    if (!Number.isSafeInteger(voters)) {
      throw new DenimError("REQUEST_INVALID", "The body does not say how many voters");
    }
    return context.json(await service.setVoters(voters as number));
  });
  app.get("/levels", async (context) => {
    onlyKnown(context, ["consistency"]);
    return context.json(await service.levels(consistencyOf(context)));
  });
  app.post("/levels/finalize", async (context) => {
    onlyKnown(context, []);
    return context.json(await service.finalizeUpgrade());
  });
  app.post("/leave", async (context) => {
    onlyKnown(context, ["keepLease"]);
    return context.json(await service.leave(flagOf(context, "keepLease")));
  });
  return app;
}
