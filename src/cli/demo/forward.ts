import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { DenimError } from "../../base/errors.ts";

export interface Forward extends AsyncDisposable {
  readonly port: number;
}

/** Where a daemon has its read-only API, and so where people look first. */
const USUAL_PORT = 7475;

/**
 * Opens a port of this machine's loopback and hands every connection to a unix socket. Takes the
 * usual port where it is free, else any, unless one was asked for. Rejects with `PORT_IN_USE`.
 */
export async function forward(wanted: number | undefined, socketPath: string): Promise<Forward> {
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(socketPath);
    for (const [one, other] of [[near, far], [far, near]] as const) {
      open.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        open.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  await listen(server, wanted ?? USUAL_PORT)
    .catch((error: NodeJS.ErrnoException) => {
      if (wanted === undefined) return listen(server, 0);
      throw new DenimError("PORT_IN_USE", `Cannot listen on port ${wanted} of 127.0.0.1`, {
        why: error.code === "EADDRINUSE" ? "another program listens there" : error.message,
        fix: "leave --api-port out, and the demo takes a free one",
        cause: error,
      });
    });
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      open.forEach((socket) => socket.destroy());
      await closed;
    },
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      server.off("error", reject);
      resolve();
    });
  });
}
