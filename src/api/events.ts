import { Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { type Clock, every } from "../base/clock.ts";
import { DenimError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Event, Feed, Position } from "../lease/cluster.ts";
import { onlyKnown } from "./query.ts";
import type { Service } from "./service.ts";

const PING_MS = 15_000;

/**
 * What happens in the cluster, as server-sent events. An id names a place in one history, so a
 * reader resumes with `Last-Event-ID`; when that place is gone it gets a `reset` with everything.
 */
export function eventRoutes(
  options: {
    readonly service: Service;
    readonly clock: Clock;
    readonly logger: Logger;
    readonly rights: "all" | "read";
  },
): Hono {
  const { service, clock, logger, rights } = options;
  const app = new Hono();
  app.get("/", (context) => {
    onlyKnown(context, ["since"]);
    const since = context.req.header("last-event-id") ?? context.req.query("since");
    const from = since === undefined ? service.position() : parseEventId(since);
    return streamSSE(context, async (stream) => {
      const stop = new AbortController();
      stream.onAbort(() => stop.abort());
      const cancel = every(clock, PING_MS, () => void stream.write(": ping\n\n"));
      try {
        await stream.write(": denim\n\n");
        for await (const feed of service.follow(from, stop.signal)) {
          for (const message of messagesOf(feed, rights)) await stream.writeSSE(message);
        }
      } finally {
        cancel();
      }
    }, (error) => Promise.resolve(logger.warn("a stream of events ended", { why: error.message })));
  });
  return app;
}

/** `n.random-revision`, the revision as 16 hex digits. */
export function formatEventId({ epoch, revision }: Position): string {
  return `${epoch.n}.${epoch.random}-${revision.toString(16).padStart(16, "0")}`;
}

/** @throws `REQUEST_INVALID` */
export function parseEventId(text: string): Position {
  const match = /^([0-9]+)\.([0-9a-f]*)-([0-9a-f]{1,16})$/.exec(text);
  if (match === null) {
    throw new DenimError("REQUEST_INVALID", `"${text}" is not the id of an event`, {
      why: "it is the id that an event was sent with, such as 1.9f…-000000000000002a",
    });
  }
  const [, n, random, revision] = match;
  return { epoch: { n: Number(n), random: random! }, revision: parseInt(revision!, 16) };
}

function messagesOf(
  feed: Feed,
  rights: "all" | "read",
): { event: string; id?: string; data: string }[] {
  const id = formatEventId(feed.position);
  // Who may join is the business of those who may do everything.
  const shown = ({ table }: { readonly table: string }) => rights === "all" || table !== "token";
  switch (feed.kind) {
    case "snapshot":
      return [{
        event: "reset",
        id,
        data: JSON.stringify({ records: feed.records.filter(shown).map(visible) }),
      }];
    case "events":
      // The place counts as reached once the last event of it was read.
      return feed.events.filter((event) => shown((event.after ?? event.before)!))
        .map((event, i, all) => ({
          event: nameOf(event),
          ...(i === all.length - 1 ? { id } : {}),
          data: JSON.stringify(visible((event.after ?? event.before)!)),
        }));
    case "progress":
      return [];
    default:
      return feed satisfies never;
  }
}

const VERBS: Readonly<Record<string, readonly [string, string, string]>> = {
  lease: ["granted", "changed", "ended"],
  node: ["joined", "changed", "left"],
  token: ["created", "used", "forgotten"],
};

/** `lease.granted`, `node.left`, `network.changed` … */
function nameOf({ before, after }: Event): string {
  const { table } = (after ?? before)!;
  if (after?.table === "token" && after.body.revokedWallMs !== undefined) return "token.revoked";
  const [made, changed, gone] = VERBS[table] ?? ["created", "changed", "removed"];
  return `${table}.${before === undefined ? made : after === undefined ? gone : changed}`;
}

/** Without what only the servers need to know. */
function visible(record: NonNullable<Event["after"]>) {
  const { table, key, modRevision, body } = record;
  const shown = { ...body } as Record<string, unknown>;
  delete shown.secretHash;
  delete shown.csrKey;
  return { table, key, revision: String(modRevision), ...shown };
}
