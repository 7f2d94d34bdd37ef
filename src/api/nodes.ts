import { Hono } from "hono";
import { DenimError } from "../base/errors.ts";
import { consistencyOf, onlyKnown } from "./query.ts";
import type { Service } from "./service.ts";

/** The hosts of the cluster, by id or name; `self` is the one that answers. */
export function nodeRoutes(service: Service): Hono {
  const app = new Hono();
  app.get("/", async (context) => {
    onlyKnown(context, ["consistency"]);
    return context.json({ items: await service.nodes(consistencyOf(context)) });
  });
  app.get("/:node", async (context) => {
    onlyKnown(context, ["consistency"]);
    const wanted = context.req.param("node");
    const node = (await service.nodes(consistencyOf(context)))
      .find(({ id, name, self }) => [id, name, self ? "self" : id].includes(wanted));
    if (node === undefined) throw new DenimError("NOT_FOUND", `There is no node "${wanted}"`);
    return context.json(node);
  });
  app.get("/:node/routes", async (context) => {
    onlyKnown(context, []);
    return context.json({ items: await service.routes(context.req.param("node")) });
  });
  app.delete("/:node", async (context) => {
    onlyKnown(context, []);
    return context.json(await service.removeNode(context.req.param("node")));
  });
  return app;
}
