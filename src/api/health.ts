import { Hono } from "hono";
import type { Service } from "./service.ts";

/** `/livez`: the process answers. `/readyz`: containers can be started on this host. */
export function healthRoutes(service: Service): Hono {
  const app = new Hono();
  app.get("/livez", (context) => context.text("ok\n"));
  app.get("/readyz", (context) => {
    const { ready, checks } = service.status();
    const lines = checks.map(({ name, ok, why }) =>
      `${ok ? "ok  " : "FAIL"} ${name}${why === undefined ? "" : `: ${why}`}`
    );
    return context.text(
      `${lines.join("\n")}\n${ready ? "ready" : "not ready"}\n`,
      ready ? 200 : 503,
    );
  });
  app.get("/metrics", async (context) => {
    return context.body(await service.metrics(), 200, {
      "content-type": "text/plain; version=0.0.4; charset=utf-8",
    });
  });
  return app;
}
