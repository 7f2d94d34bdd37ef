import { Hono } from "hono";
import { DenimError } from "../base/errors.ts";
import { consistencyOf, onlyKnown } from "./query.ts";
import type { NetworkView, Service } from "./service.ts";

/** flannel's network config as one resource; its ETag is its revision. */
export function networkRoutes(service: Service): Hono {
  const app = new Hono();
  const show = ({ config, revision, warnings }: NetworkView) => ({
    config: JSON.parse(config) as unknown,
    text: config,
    revision: String(revision),
    warnings,
  });
  app.get("/", async (context) => {
    onlyKnown(context, ["consistency"]);
    const network = await service.network(consistencyOf(context));
    return context.json(show(network), 200, { etag: `"${network.revision}"` });
  });
  app.put("/", async (context) => {
    onlyKnown(context, []);
    const match = context.req.header("if-match");
    const revision = /^"([0-9]+)"$/.exec(match ?? "")?.[1];
    if (match !== "*" && revision === undefined) {
      throw new DenimError("REVISION_REQUIRED", "Say which revision you are changing", {
        why: "somebody else may have changed the network config meanwhile",
        fix: 'send If-Match with the ETag of GET /v1/network, or "*" to overwrite',
      });
    }
    const text = await context.req.text();
    const network = await service.setNetwork(
      text,
      revision === undefined ? undefined : Number(revision),
    );
    return context.json(show(network), 200, { etag: `"${network.revision}"` });
  });
  return app;
}
