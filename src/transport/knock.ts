import { connect } from "node:net";
import { parseEndpoint } from "./address.ts";

const PATIENCE_MS = 1_000;

/** Whether anybody takes connections at `host:port`. */
export function answers(endpoint: string): Promise<boolean> {
  const { host, port } = parseEndpoint(endpoint);
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: PATIENCE_MS });
    const done = (yes: boolean) => {
      socket.destroy();
      resolve(yes);
    };
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
    socket.once("timeout", () => done(false));
  });
}
