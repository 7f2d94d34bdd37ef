import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { systemRandom } from "../../src/base/random.ts";
import type { Test } from "./tap.ts";

/** Two ends of one TCP connection over loopback; destroyed when the test is over. */
export async function socketPair(t: Test): Promise<readonly [Socket, Socket]> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const near = connect((server.address() as AddressInfo).port, "127.0.0.1");
  await new Promise((resolve) => near.once("connect", resolve));
  const far = await accepted;
  server.close();
  t.teardown(() => {
    near.destroy();
    far.destroy();
  });
  return [near, far];
}

const random = systemRandom();

/** Below the ports that kernels give to whoever connects (`ip_local_port_range`). */
const PORTS = { first: 10_000, count: 20_000 };

/**
 * A port of loopback that nobody listens on now, and that nobody is given by chance before a test
 * listens there, or while what listens there is being started again.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.first + random.below(PORTS.count);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/** Waits until `condition` holds; gives up after a generous time, and the test then fails. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  for (let tries = 0; tries < 10_000; tries++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`Never came true: ${what}`);
}
