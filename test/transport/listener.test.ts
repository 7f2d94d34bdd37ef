import { Buffer } from "node:buffer";
import { connect as connectTcp } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import t from "tap";
import { systemClock } from "../../src/base/clock.ts";
import { type Fields, silentLogger } from "../../src/base/log.ts";
import { Channel } from "../../src/transport/channel.ts";
import { secureOptions } from "../../src/transport/credentials.ts";
import { connect } from "../../src/transport/dialer.ts";
import { encodeFrame } from "../../src/transport/frame.ts";
import { greetStranger } from "../../src/transport/handshake.ts";
import { Handlers } from "../../src/transport/handlers.ts";
import { readIdentity } from "../../src/transport/certificate.ts";
import { SocketWire } from "../../src/transport/wire.ts";
import type { Joiner, ListenerOptions } from "../../src/transport/listener.ts";
import { dialAs, openPort } from "../support/cluster-port.ts";
import { testCluster } from "../support/pki.ts";
import { until } from "../support/sockets.ts";
import type { Test } from "../support/tap.ts";

const clock = systemClock();
const cluster = await testCluster();
const stranger = { wants: "join", version: "0.1.0", protocol: { min: 1, max: 1 } } as const;

/** A channel of one who has no certificate. */
async function knock(t: Test, address: string): Promise<Channel> {
  const socket = await connect(address, {}, { clock, timeoutMs: 5_000 });
  t.teardown(() => socket.destroy());
  const wire = new SocketWire(socket, 65_536);
  await greetStranger(wire, stranger, { clock, timeoutMs: 5_000 });
  return new Channel(wire, { clock }).start(new Handlers());
}

function joinerDesk(handlers: Handlers): Partial<ListenerOptions> & { joiners: Joiner[] } {
  const joiners: Joiner[] = [];
  return {
    joiners,
    onJoiner(joiner) {
      joiners.push(joiner);
      joiner.channel.start(handlers);
    },
  };
}

t.test("a peer is let in and can be asked both ways", async (t) => {
  const handlers = new Handlers().request("who", () => "n-1");
  const port = await openPort(t, cluster, { handlers });
  const { channel, greeting, identity } = await dialAs(t, cluster, "n-2", port.address);
  channel.start(new Handlers().request("who", () => "n-2"));
  t.equal(await channel.request("who", {}), "n-1");
  await until(() => port.peers.length === 1, "the peer arrived");
  t.equal(await port.peers[0]!.channel.request("who", {}), "n-2");
  t.same([identity.nodeId, greeting.hello.nodeId, port.peers[0]!.hello.nodeId], [
    "n-1",
    "n-1",
    "n-2",
  ]);
});

t.test("a certificate of another CA is told so and let in nowhere", async (t) => {
  const port = await openPort(t, cluster);
  const other = await testCluster();
  const theirs = await other.issue("n-2");
  const credentials = { ...theirs, caBundle: cluster.ca.certPem };
  await t.rejects(dialAs(t, cluster, "n-2", port.address, { credentials }), {
    code: "PEER_REFUSED",
    why: /not from this cluster's CA/,
  });
  t.same(port.peers, []);
});

t.test("a node that names another node in its hello is refused", async (t) => {
  const port = await openPort(t, cluster);
  const hello = cluster.hello("n-9");
  await t.rejects(dialAs(t, cluster, "n-2", port.address, { hello }), { code: "PEER_REFUSED" });
  t.same(port.peers, []);
});

t.test("what the listener's judge says reaches the dialer", async (t) => {
  const port = await openPort(t, cluster, {
    admit: () => ({ code: "NOT_A_MEMBER", message: "removed", fix: "rejoin" }),
  });
  await t.rejects(dialAs(t, cluster, "n-2", port.address), { code: "NOT_A_MEMBER", fix: "rejoin" });
});

t.test("one without a certificate may join and nothing else", async (t) => {
  const handlers = new Handlers()
    .request("join.begin", () => "the network")
    .request("lease.list", () => "all leases")
    .request("rejoin.begin", () => "the network");
  const port = await openPort(t, cluster, joinerDesk(handlers));
  const joining = await knock(t, port.address);
  t.equal(await joining.request("join.begin", {}), "the network");
  await t.rejects(joining.request("lease.list", {}), { code: "CONNECTION_LOST" });
  const other = await knock(t, port.address);
  await t.rejects(other.request("rejoin.begin", {}), { code: "CONNECTION_LOST" });
  const third = await knock(t, port.address);
  t.equal(third.notify("raft", {}), true);
  t.equal((await third.closed).code, "CONNECTION_LOST");
  t.same(port.peers, []);
});

t.test("a hello of a node is not accepted from one without a certificate", async (t) => {
  const port = await openPort(t, cluster, joinerDesk(new Handlers()));
  const socket = await connect(port.address, {}, { clock, timeoutMs: 5_000 });
  const wire = new SocketWire(socket, 65_536);
  const posing = cluster.hello("n-2") as unknown as typeof stranger;
  await t.rejects(greetStranger(wire, posing, { clock, timeoutMs: 5_000 }), { code: "PROTOCOL" });
});

t.test("a joiner may send 64 KiB at once and no more", async (t) => {
  const desk = joinerDesk(new Handlers().request("join.begin", () => "fine"));
  const port = await openPort(t, cluster, desk);
  const joining = await knock(t, port.address);
  t.equal(await joining.request("join.begin", "x".repeat(60_000)), "fine");

  const socket = connectTls({
    port: port.listener.port,
    host: "127.0.0.1",
    rejectUnauthorized: false,
  });
  const ended = new Promise((resolve) => socket.on("error", () => {}).on("close", resolve));
  socket.resume();
  socket.write(encodeFrame({ t: "hello", ...stranger }, 65_536));
  socket.write(encodeFrame({ t: "ask", id: 1, kind: "join.begin", body: "x".repeat(70_000) }, 1e6));
  await ended;
  t.equal(desk.joiners.length <= 2, true);
});

t.test("a joiner that dawdles is sent away, unless it was given more time", async (t) => {
  const desk = joinerDesk(new Handlers());
  const port = await openPort(t, cluster, { ...desk, joinerMs: 200 });
  const [slow, known] = [await knock(t, port.address), await knock(t, port.address)];
  await until(() => desk.joiners.length === 2, "both knocked");
  desk.joiners[1]!.extend(600);
  t.equal((await slow.closed).code, "CONNECTION_LOST");
  t.equal(known.isClosed, false);
  t.equal((await known.closed).code, "CONNECTION_LOST");
});

t.test("only so many may be joining at once", async (t) => {
  const port = await openPort(t, cluster, { ...joinerDesk(new Handlers()), joinersMax: 2 });
  const first = await knock(t, port.address);
  await knock(t, port.address);
  await t.rejects(knock(t, port.address), { code: "OVERLOADED" });
  await first[Symbol.asyncDispose]();
  let again: Channel | undefined;
  for (let tries = 0; tries < 100 && again === undefined; tries++) {
    again = await knock(t, port.address).catch(() => undefined);
  }
  t.equal(again?.isClosed, false);
});

t.test("a node that lets nobody in says where to go", async (t) => {
  const port = await openPort(t, cluster);
  await t.rejects(knock(t, port.address), { code: "JOIN_REFUSED" });
});

t.test("bytes that are no TLS, and TLS 1.2, do no harm", async (t) => {
  const port = await openPort(t, cluster);
  const ended = (socket: NodeJS.EventEmitter) =>
    new Promise<void>((resolve) => socket.on("error", () => {}).on("close", () => resolve()));
  const plain = connectTcp(port.listener.port, "127.0.0.1");
  plain.end(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
  plain.resume();
  await ended(plain);
  const old: ConnectionOptions = { port: port.listener.port, host: "127.0.0.1" };
  const tls = connectTls({ ...old, maxVersion: "TLSv1.2", rejectUnauthorized: false });
  let secured = false;
  tls.on("secureConnect", () => secured = true);
  await ended(tls);
  t.equal(secured, false);
  const { channel } = await dialAs(t, cluster, "n-2", port.address);
  t.equal(channel.isClosed, false);
});

t.test("certificates are replaced while connections stand", async (t) => {
  const port = await openPort(t, cluster, { handlers: new Handlers().request("who", () => "n-1") });
  const before = await dialAs(t, cluster, "n-2", port.address);
  before.channel.start(new Handlers());

  const next = await testCluster();
  const renewed = await next.issue("n-1");
  const bundle = `${cluster.ca.certPem}${next.ca.certPem}`;
  port.listener.reload({ ...renewed, caBundle: bundle });

  const credentials = { ...await cluster.issue("n-3"), caBundle: bundle };
  const after = await dialAs(t, cluster, "n-3", port.address, { credentials });
  t.equal(after.identity.notAfterMs, readIdentity(renewed.cert).notAfterMs);
  await t.rejects(dialAs(t, cluster, "n-4", port.address), { code: "PEER_REFUSED" });
  t.equal(await before.channel.request("who", {}), "n-1");
});

t.test("a key that does not belong to the certificate is not used", async (t) => {
  const [one, other] = [await cluster.issue("n-1"), await cluster.issue("n-1")];
  t.throws(() => secureOptions({ ...one, key: other.key }), { code: "CONFIG_INVALID" });
});

t.test("a taken port, and an address that this host does not have, are named", async (t) => {
  const port = await openPort(t, cluster);
  await t.rejects(openPort(t, cluster, { port: port.listener.port }), { code: "PORT_IN_USE" });
  await t.rejects(openPort(t, cluster, { host: "192.0.2.1" }), { code: "CONFIG_INVALID" });
});

t.test("a listener ends although somebody never finishes the TLS handshake", async (t) => {
  const port = await openPort(t, cluster);
  const idle = connectTcp(port.listener.port, "127.0.0.1");
  idle.on("error", () => {});
  t.teardown(() => idle.destroy());
  await new Promise((resolve) => idle.once("connect", resolve));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const started = performance.now();
  await port.listener[Symbol.asyncDispose]();
  t.ok(performance.now() - started < 8_000);
});

t.test("both sides know what the dialer's judge said", async (t) => {
  const refusals: string[] = [];
  const log = {
    ...silentLogger,
    warn: (_: string, fields?: Fields) => {
      refusals.push(String(fields?.["code"]));
    },
  };
  const port = await openPort(t, cluster, { log });
  const dialing = dialAs(t, cluster, "n-2", port.address, {
    admit: () => ({ code: "EPOCH_MISMATCH", message: "another history" }),
  });
  await t.rejects(dialing, { code: "EPOCH_MISMATCH" });
  await until(() => refusals.length === 1, "the listener heard it");
  t.same(refusals, ["EPOCH_MISMATCH"]);
});

t.test("a listener that ends closes its peers", async (t) => {
  const port = await openPort(t, cluster);
  const { channel } = await dialAs(t, cluster, "n-2", port.address);
  channel.start(new Handlers());
  await port.listener[Symbol.asyncDispose]();
  t.equal((await channel.closed).code, "CONNECTION_LOST");
  await t.rejects(dialAs(t, cluster, "n-2", port.address), { code: "PEER_UNREACHABLE" });
});
