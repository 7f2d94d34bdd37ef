import { type Context, Hono } from "hono";
import { asDenimError } from "../base/errors.ts";
import type { Clock } from "../base/clock.ts";
import { goBoolean } from "../base/go-values.ts";
import type { Logger } from "../base/log.ts";
import { namesOneHost } from "../ip/host-header.ts";
import type { View } from "../lease/cluster.ts";
import { theCluster } from "../lease/state.ts";
import { project } from "./projection.ts";
import { findNode } from "./tree.ts";
import { ETCD_ERRORS, EtcdError, goJson, nodeJson } from "./v2-json.ts";

/** What the face needs of a node. */
export interface EtcdSource {
  /** @throws what keeps this node from answering: then it is no answer that a key is missing */
  read(level: "stale" | "linearizable"): Promise<View>;
  /** Id and name of this node. */
  self(): { readonly id: string; readonly name: string };
  /** Raft's term; `undefined` on a node that has no part in it. */
  term(): number | undefined;
  /** A leader stands behind what this node knows. */
  hasLeader(): boolean;
}

export interface EtcdOptions {
  readonly source: EtcdSource;
  readonly prefix: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The last release that had this API alone; clients look at it to see what they may ask. */
const VERSION = { etcdserver: "2.3.8", etcdcluster: "2.3.0" };

const READ_ONLY =
  "this is Denim's state; change it with: denim network set, denim lease, denim node";

/** etcd's v2 API over a node's state, for who looks into flannel's keys: it answers questions only. */
export function createEtcdApi(options: EtcdOptions): Hono {
  const { source, logger } = options;
  const app = new Hono();
  app.use(async (context, next) => {
    if (!namesOneHost(context.req.header("host"))) {
      return json(context, { message: "use an address, or localhost" }, 403);
    }
    return await next();
  });
  app.get("/version", (context) => context.body(JSON.stringify(VERSION), 200, JSON_TYPE));
  app.get("/health", (context) => {
    const health = source.hasLeader();
    return context.body(JSON.stringify({ health: String(health) }), health ? 200 : 503, JSON_TYPE);
  });
  app.get("/v2/members", async (context) => {
    const view = await source.read("stale");
    return json(context, { members: [ownMember(source, context)] }, 200, clusterHeader(view));
  });
  app.get("/v2/members/leader", async (context) => {
    const view = await source.read("stale");
    const headers = clusterHeader(view);
    const leader = source.hasLeader() ? view.leaderNode : undefined;
    if (leader === undefined) return json(context, { message: "During election" }, 503, headers);
    const own = ownMember(source, context);
    if (leader === source.self().id) return json(context, own, 200, headers);
    const name = view.state.get("node", leader)?.body.name ?? leader;
    return json(context, { ...own, id: memberId(leader), name, clientURLs: [] }, 200, headers);
  });
  for (const path of ["/v2/keys", "/v2/keys/*"]) {
    app.get(path, (context) => getKey(context, options));
    for (const method of ["PUT", "POST", "DELETE"]) {
      app.on(method, path, () => Promise.reject(new EtcdError(107, READ_ONLY)));
    }
  }
  app.notFound((context) => context.text("404 page not found\n", 404));
  app.onError((error, context) => failed(error, context, source, logger));
  return app;
}

async function getKey(context: Context, { source, prefix, clock }: EtcdOptions): Promise<Response> {
  const flag = (name: string): boolean => {
    const text = context.req.query(name);
    const value = text === undefined ? false : goBoolean(text);
    if (value === undefined) throw new EtcdError(209, `invalid value for "${name}"`);
    return value;
  };
  const [recursive, sorted] = [flag("recursive"), flag("sorted")];
  const [quorum, wait] = [flag("quorum"), flag("wait")];
  if (!/^\d*$/.test(context.req.query("waitIndex") ?? "")) {
    throw new EtcdError(203, 'invalid value for "waitIndex"');
  }
  // As etcd does: who asks for a quorum does not wait.
  if (wait && !quorum) throw new EtcdError(209, 'no watches yet: ask again without "wait"');
  const view = await source.read(quorum ? "linearizable" : "stale");
  const found = findNode(project(view.state, prefix), pathOf(context));
  if (found.kind !== "found") {
    return errorAnswer(
      context,
      new EtcdError(found.kind === "missing" ? 100 : 104, found.at),
      view,
    );
  }
  const node = nodeJson(found.node, { recursive, sorted, wallMs: clock.wallMs() });
  return json(context, { action: "get", node }, 200, {
    ...clusterHeader(view),
    "x-etcd-index": String(view.state.revision),
    "x-raft-index": String(view.position.revision),
    "x-raft-term": String(source.term() ?? 0),
  });
}

/** Below `/v2/keys`. */
function pathOf(context: Context): string {
  try {
    return decodeURIComponent(context.req.path.slice("/v2/keys".length));
  } catch {
    throw new EtcdError(209, "the path is not well encoded");
  }
}

/**
 * Only this node: `etcdctl` goes on with the addresses that it is told, and those of other nodes
 * are open to themselves alone. Ours is where the question came to.
 */
function ownMember(source: EtcdSource, context: Context) {
  const { id, name } = source.self();
  const clientURLs = [`http://${context.req.header("host")}`];
  return { id: memberId(id), name, peerURLs: [], clientURLs };
}

/** A number in hex, as etcd's ids are: the digits of `n-0123456789ab`. */
function memberId(node: string): string {
  return node.replace(/^n-/, "").replace(/^0+(?=.)/, "");
}

function clusterHeader({ state }: View): Record<string, string> {
  const id = theCluster(state)?.clusterId.slice(0, 16).replace(/^0+(?=.)/, "");
  return id === undefined ? {} : { "x-etcd-cluster-id": id };
}

async function failed(
  error: Error,
  context: Context,
  source: EtcdSource,
  logger: Logger,
): Promise<Response> {
  if (error instanceof EtcdError) {
    const view = await source.read("stale").catch(() => undefined);
    return errorAnswer(context, error, view);
  }
  const known = asDenimError(error);
  if (known.code === "INTERNAL") {
    logger.error("a request failed", { path: context.req.path, why: error.stack ?? error.message });
  }
  // Never 404: who hears that would take the subnets for gone.
  return errorAnswer(context, new EtcdError(300, known.message), undefined);
}

function errorAnswer(context: Context, error: EtcdError, view: View | undefined): Response {
  const { message, status } = ETCD_ERRORS[error.code];
  const index = view?.state.revision ?? 0;
  const body = { errorCode: error.code, message, cause: error.reason, index };
  const headers = { ...(view && clusterHeader(view)), "x-etcd-index": String(index) };
  return json(context, body, status, headers);
}

const JSON_TYPE = { "content-type": "application/json" };

function json(
  context: Context,
  body: object,
  status: number,
  headers: Record<string, string> = {},
): Response {
  return context.body(goJson(body), status as 200, { ...JSON_TYPE, ...headers });
}
