import { connect, createServer, type Server, type Socket } from "node:net";
import { DenimError } from "../../base/errors.ts";

export interface Forward extends AsyncDisposable {
  /** 0 for a unix socket. */
  readonly port: number;
}

/** A port of this machine's loopback, or a unix socket. */
export type End = { readonly port: number | undefined } | { readonly path: string };

/** Where a daemon has its read-only API, and so where people look first. */
const USUAL_PORT = 7475;

/**
 * Listens at one place and hands every connection to another. Without a number it takes the usual
 * port where that is free, else any. Rejects with `PORT_IN_USE`.
 */
export async function forward(from: End, to: End): Promise<Forward> {
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(placeOf(to));
    for (const [one, other] of [[near, far], [far, near]] as const) {
      open.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        open.delete(one);
        other.destroy();
      });
      one.on("data", (bytes) => {
        if (!other.write(bytes)) one.pause();
      });
      one.on("end", () => other.end());
      other.on("drain", () => one.resume());
    }
  });
  await listen(server, from).catch((error: NodeJS.ErrnoException) => {
    if ("port" in from && from.port === undefined) return listen(server, { port: 0 });
    const place = "port" in from ? `port ${from.port} of 127.0.0.1` : from.path;
    throw new DenimError("PORT_IN_USE", `Cannot listen on ${place}`, {
      why: error.code === "EADDRINUSE" ? "another program listens there" : error.message,
      fix: "leave --api-port out, and the demo takes a free one",
      cause: error,
    });
  });
  const bound = server.address();
  return {
    port: bound !== null && typeof bound === "object" ? bound.port : 0,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      open.forEach((socket) => socket.destroy());
      await closed;
    },
  };
}

function placeOf(end: End): { path: string } | { port: number; host: string } {
  return "path" in end ? end : { port: end.port ?? USUAL_PORT, host: "127.0.0.1" };
}

function listen(server: Server, end: End): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(placeOf(end), () => {
      server.off("error", reject);
      resolve();
    });
  });
}
