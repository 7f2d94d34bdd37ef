import { systemClock } from "../../src/base/clock.ts";
import { Channel } from "../../src/transport/channel.ts";
import { SocketWire } from "../../src/transport/wire.ts";
import { socketPair } from "./sockets.ts";
import type { Test } from "./tap.ts";

/** Two ends of one connection, greeted as it were, neither of them started. */
export async function channelPair(t: Test): Promise<readonly [Channel, Channel]> {
  const sockets = await socketPair(t);
  const [near, far] = sockets.map((socket) =>
    new Channel(new SocketWire(socket, 16 * 1024 * 1024), {
      clock: systemClock(),
      peer: "the peer",
    })
  );
  t.teardown(() => {
    near!.close();
    far!.close();
  });
  return [near!, far!];
}
