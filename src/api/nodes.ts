import { Hono } from "hono";
import * as v from "valibot";
import { DenimError } from "../base/errors.ts";
import { consistencyOf, flagOf, jsonBody, onlyKnown, readBody } from "./query.ts";
import type { Service } from "./service.ts";

const moveSchema = v.strictObject({ subnet: v.pipe(v.string(), v.maxLength(64)) });

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
  app.post("/:node/move", async (context) => {
    onlyKnown(context, []);
    const { subnet } = readBody(moveSchema, await jsonBody(context), "The move");
    return context.json(await service.moveLease(context.req.param("node"), subnet));
  });
  app.delete("/:node", async (context) => {
    onlyKnown(context, ["force"]);
    const force = flagOf(context, "force");
    return context.json(await service.removeNode(context.req.param("node"), force));
  });
  app.put("/:node/preferred", async (context) => {
    onlyKnown(context, []);
    const { preferred } = await jsonBody(context) as { preferred?: unknown };
    if (preferred !== "voter" && preferred !== "standby" && preferred !== null) {
      throw new DenimError("REQUEST_INVALID", "The body does not say which role is preferred", {
        why: 'it is {"preferred": "voter"}, "standby" or null',
      });
    }
    return context.json(await service.preferNode(context.req.param("node"), preferred));
  });
  return app;
}
