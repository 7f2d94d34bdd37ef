import { Hono } from "hono";
import * as v from "valibot";
import { DenimError } from "../base/errors.ts";
import { jsonBody, onlyKnown } from "./query.ts";
import type { Service } from "./service.ts";

const requestSchema = v.strictObject({
  /** With it the CA key goes along, sealed. */
  passphrase: v.optional(v.pipe(v.string(), v.minLength(8), v.maxLength(1_024))),
});

/** The state as one file: see `store/backup.ts`. Only on the socket. */
export function backupRoutes(service: Service): Hono {
  const app = new Hono();
  app.post("/", async (context) => {
    onlyKnown(context, []);
    const result = v.safeParse(requestSchema, await jsonBody(context));
    if (!result.success) {
      const [issue] = result.issues;
      throw new DenimError("REQUEST_INVALID", "The request for a backup cannot be read", {
        why: `${v.getDotPath(issue) ?? "it"}: ${issue.message}`,
      });
    }
    const text = await service.backup(result.output.passphrase);
    return context.body(text, 200, { "content-type": "application/x-ndjson" });
  });
  return app;
}
