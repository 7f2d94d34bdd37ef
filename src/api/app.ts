import { Hono } from "hono";
import type { Context } from "hono";
import { asDenimError, DenimError, ERRORS } from "../base/errors.ts";
import { namesOneHost } from "../ip/host-header.ts";
import type { Logger } from "../base/log.ts";
import { backupRoutes } from "./backup.ts";
import { caRoutes } from "./ca.ts";
import { clusterRoutes } from "./cluster.ts";
import { eventRoutes } from "./events.ts";
import { healthRoutes } from "./health.ts";
import { leaseRoutes } from "./leases.ts";
import { networkRoutes } from "./network.ts";
import { nodeRoutes } from "./nodes.ts";
import { reservationRoutes } from "./reservations.ts";
import type { Service } from "./service.ts";
import { tokenRoutes } from "./tokens.ts";
import type { Clock } from "../base/clock.ts";

export interface ApiOptions {
  readonly service: Service;
  readonly clock: Clock;
  readonly logger: Logger;
  /** `all` on the unix socket, whose file mode is the guard; `read` wherever anybody may knock. */
  readonly rights: "all" | "read";
}

/** The HTTP API of a node: the same routes everywhere, fewer rights on open ports. */
export function createApi(options: ApiOptions): Hono {
  const { service, logger, rights } = options;
  const app = new Hono();
  app.use(async (context, next) => {
    if (rights === "read") guard(context);
    await next();
  });
  for (const path of ["/v1/network", "/v1/leases", "/v1/reservations", "/v1/nodes"]) {
    app.get(`${path}/*`, async (context, next) => {
      await next();
      sayHowFresh(service, context);
    });
  }
  app.get("/", (context) => {
    const { node } = service.status();
    return context.json({ name: "denim", version: node.version, api: "/v1" });
  });
  app.route("/", healthRoutes(service));
  app.route("/v1", clusterRoutes(service, rights));
  app.route("/v1/ca", caRoutes(service));
  app.route("/v1/network", networkRoutes(service));
  app.route("/v1/leases", leaseRoutes(service));
  app.route("/v1/reservations", reservationRoutes(service));
  app.route("/v1/nodes", nodeRoutes(service));
  app.route("/v1/events", eventRoutes(options));
  if (rights === "all") app.route("/v1/tokens", tokenRoutes(service));
  if (rights === "all") app.route("/v1/backup", backupRoutes(service));
  app.notFound((context) => problem(context, notHere(app, context)));
  app.onError((error, context) => {
    const known = asDenimError(error);
    if (known.code === "INTERNAL") {
      logger.error("a request failed", {
        path: context.req.path,
        why: error.stack ?? error.message,
      });
    }
    return problem(context, known);
  });
  return app;
}

/** An open port answers GET only, and only under names that a DNS record cannot be made to mean. */
function guard(context: Context): void {
  const { method } = context.req;
  if (method !== "GET" && method !== "HEAD") {
    throw new DenimError("READ_ONLY", "This address only answers questions", {
      fix: "use the unix socket, as the denim command does",
    });
  }
  const host = context.req.header("host");
  if (!namesOneHost(host)) {
    throw new DenimError("HOST_NOT_ALLOWED", `This node is not called "${host ?? ""}" here`, {
      why: "a page elsewhere could point a name of its own at this port (DNS rebinding)",
      fix: "use an address, or localhost",
    });
  }
}

/** From which state an answer comes, and how long ago a leader stood behind that. */
function sayHowFresh(service: Service, context: Context): void {
  if (!context.res.ok) return;
  const [position, staleMs] = [service.position(), service.staleMs()];
  if (position !== undefined) context.header("Denim-Revision", String(position.revision));
  if (staleMs !== undefined) context.header("Denim-Stale-Ms", String(Math.ceil(staleMs)));
}

/** A path that is there for other methods is a mistake of another kind. */
function notHere(app: Hono, { req: { method, path } }: Context): DenimError {
  const others = METHODS.filter((other) =>
    app.router.match(other, path)[0].some(([[, route]]) => route.method === other)
  );
  if (others.length === 0) return new DenimError("NOT_FOUND", `There is nothing at ${path}`);
  return new DenimError("METHOD_NOT_ALLOWED", `${path} does not take ${method}`, {
    why: `it takes ${others.join(", ")}`,
  });
}

const METHODS = ["GET", "POST", "PUT", "DELETE"];

/** RFC 9457. `type` is a name and is never fetched. */
function problem(context: Context, error: DenimError): Response {
  const { status } = ERRORS[error.code];
  return context.body(
    JSON.stringify({
      type: `urn:denim:error:${error.code}`,
      title: error.message,
      status,
      ...(error.why === undefined ? {} : { detail: error.why }),
      instance: context.req.path,
      code: error.code,
      ...(error.fix === undefined ? {} : { fix: error.fix }),
    }),
    status as 400,
    { "content-type": "application/problem+json" },
  );
}
