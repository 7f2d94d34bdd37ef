import { createAdaptorServer } from "@hono/node-server";
import { chmodSync, chownSync, lstatSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import process from "node:process";
import type { Hono } from "hono";
import { DenimError, isDenimError } from "../base/errors.ts";

/** One open address of the API. */
export interface ApiListener extends AsyncDisposable {
  /** 0 for a unix socket. */
  readonly port: number;
}

/**
 * The unix socket: whoever may open the file may do anything, as with dockerd.
 *
 * @throws `PORT_IN_USE` when another daemon answers there, `PERMISSION_DENIED`
 */
export async function listenOnSocket(app: Hono, path: string): Promise<ApiListener> {
  if (await answers(path)) {
    throw new DenimError("PORT_IN_USE", `Another daemon answers at ${path}`, {
      fix: "stop it, or give this one another socket: --socket PATH",
    });
  }
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    removeSocket(path);
  } catch (cause) {
    if (isDenimError(cause)) throw cause;
    throw new DenimError("PERMISSION_DENIED", `Cannot make ${path}`, {
      why: (cause as Error).message,
      fix: "run as root, or choose another place: --socket PATH",
      cause,
    });
  }
  const server = serverFor(app);
  await listening(server, path, () => server.listen(path), "--socket");
  chmodSync(path, 0o660);
  openToGroup(path);
  return listenerOf(server, () => rmSync(path, { force: true }));
}

/** For the members of a group that somebody made; in a user namespace it may have no number. */
function openToGroup(path: string): void {
  const group = groupId("denim");
  if (group === undefined || process.getuid?.() !== 0) return;
  try {
    chownSync(path, 0, group);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EINVAL") throw error;
  }
}

/** What a killed daemon left. Anything but a socket is somebody else's. @throws `CONFIG_INVALID` */
function removeSocket(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new DenimError("CONFIG_INVALID", `Cannot listen at ${path}`, {
      why: "there is something else of that name, and it is no socket",
      fix: "choose another place: --socket PATH",
    });
  }
  rmSync(path);
}

/** @throws `PORT_IN_USE` `PERMISSION_DENIED` */
export async function listenOnPort(
  app: Hono,
  host: string,
  port: number,
  flag = "--api-port",
): Promise<ApiListener> {
  const server = serverFor(app);
  await listening(server, `${host} port ${port}`, () => server.listen(port, host), flag);
  return listenerOf(server, () => {});
}

function serverFor(app: Hono): Server {
  return createAdaptorServer({ fetch: app.fetch }) as Server;
}

/** `flag` chooses another place. */
function listening(server: Server, at: string, listen: () => void, flag: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const inUse = error.code === "EADDRINUSE";
      reject(
        new DenimError(inUse ? "PORT_IN_USE" : "PERMISSION_DENIED", `Cannot listen on ${at}`, {
          why: inUse ? "another program listens there" : error.message,
          fix: `stop that program, or choose another place: ${flag}`,
          cause: error,
        }),
      );
    });
    server.once("listening", resolve);
    listen();
  });
}

function listenerOf(server: Server, cleanUp: () => void): ApiListener {
  const address = server.address();
  return {
    port: address !== null && typeof address === "object" ? address.port : 0,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      cleanUp();
    },
  };
}

/** A socket file may be left from a daemon that was killed; only one that answers is in use. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** The group that may use the socket, where somebody made one. */
function groupId(name: string): number | undefined {
  try {
    const line = readFileSync("/etc/group", "utf8").split("\n")
      .find((entry) => entry.startsWith(`${name}:`));
    return line === undefined ? undefined : Number(line.split(":")[2]);
  } catch {
    return undefined;
  }
}
