import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/log.ts";
import type { Channel } from "../../src/transport/channel.ts";
import type { Credentials } from "../../src/transport/credentials.ts";
import { dial, type Dialed, type DialOptions } from "../../src/transport/dialer.ts";
import type { Hello } from "../../src/transport/handshake.ts";
import { Handlers } from "../../src/transport/handlers.ts";
import { listen, type Listener, type ListenerOptions } from "../../src/transport/listener.ts";
import type { TestCluster } from "./pki.ts";
import type { Test } from "./tap.ts";

/** A node's open port on loopback, and what came in through it. */
export interface TestPort {
  readonly listener: Listener;
  readonly address: string;
  readonly credentials: Credentials;
  readonly peers: { readonly channel: Channel; readonly hello: Hello }[];
}

/** A server `n-1` of the cluster that starts every peer with `handlers`. */
export async function openPort(
  t: Test,
  cluster: TestCluster,
  options: Partial<ListenerOptions> & { handlers?: Handlers } = {},
): Promise<TestPort> {
  const credentials = options.credentials ?? await cluster.issue("n-1");
  const peers: TestPort["peers"] = [];
  const { handlers = new Handlers(), ...more } = options;
  const listener = await listen({
    host: "127.0.0.1",
    port: 0,
    credentials,
    clock: systemClock(),
    log: silentLogger,
    hello: () => cluster.hello("n-1"),
    admit: () => ({ ok: true }),
    onPeer(channel, { hello }) {
      peers.push({ channel: channel.start(handlers), hello });
    },
    ...more,
  });
  t.teardown(() => listener[Symbol.asyncDispose]());
  return { listener, address: `127.0.0.1:${listener.port}`, credentials, peers };
}

/** Dials as `nodeId`; the channel is closed with the test. */
export async function dialAs(
  t: Test,
  cluster: TestCluster,
  nodeId: string,
  address: string,
  options: Partial<DialOptions> = {},
): Promise<Dialed> {
  const dialed = await dial(address, {
    credentials: options.credentials ?? await cluster.issue(nodeId),
    clock: systemClock(),
    hello: cluster.hello(nodeId),
    admit: () => ({ ok: true }),
    ...options,
  });
  t.teardown(() => dialed.channel.close());
  return dialed;
}
