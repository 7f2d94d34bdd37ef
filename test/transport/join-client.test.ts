import { createServer, type TLSSocket } from "node:tls";
import type { AddressInfo } from "node:net";
import t from "tap";
import { systemClock } from "../../src/base/clock.ts";
import { seededRandom } from "../../src/base/random.ts";
import { type Credentials, secureOptions } from "../../src/transport/credentials.ts";
import { openJoin } from "../../src/transport/join-client.ts";
import { Handlers } from "../../src/transport/handlers.ts";
import { caPin } from "../../src/transport/certificate.ts";
import { createToken, hashSecret, secretMatches } from "../../src/transport/token.ts";
import { FakeClock } from "../support/clock.ts";
import { openPort, type TestPort } from "../support/cluster-port.ts";
import { testCluster } from "../support/pki.ts";
import { until } from "../support/sockets.ts";
import type { Test } from "../support/tap.ts";

const cluster = await testCluster();
const token = createToken("server", caPin(cluster.ca.certPem), seededRandom(1));
const hello = { wants: "join", version: "0.1.0", protocol: { min: 1, max: 1 } } as const;
const options = { clock: systemClock(), timeoutMs: 5_000, caPin: token.caPin, hello };

async function openDesk(t: Test, handlers: Handlers): Promise<TestPort> {
  return await openPort(t, cluster, {
    onJoiner: ({ channel }) => void channel.start(handlers),
  });
}

/** A TLS server under somebody else's control, and every byte that it was sent. */
async function impostor(t: Test, credentials: Credentials) {
  const heard: Uint8Array[] = [];
  let met = 0;
  const sockets = new Set<TLSSocket>();
  const server = createServer(secureOptions(credentials), (socket) => {
    met++;
    sockets.add(socket);
    socket.on("error", () => {}).on("data", (bytes) => heard.push(bytes));
    socket.on("close", () => sockets.delete(socket));
  });
  // The joiner may hang up before its own half of the handshake has left.
  server.on("tlsClientError", () => met++);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    bytesHeard: () => heard.reduce((sum, bytes) => sum + bytes.length, 0),
    settled: () => until(() => met > 0 && sockets.size === 0, "the joiner left"),
  };
}

t.test("a joiner shows its secret, checks, and is let in, on one connection", async (t) => {
  const steps: string[] = [];
  const hash = hashSecret(token.secret);
  const port = await openDesk(
    t,
    new Handlers()
      .request("join.begin", (body) => {
        const { tokenId, secret } = body as { tokenId: string; secret: number[] };
        steps.push(`begin ${tokenId === token.id && secretMatches(Uint8Array.from(secret), hash)}`);
        return { network: "10.244.0.0/16" };
      })
      .request("join.commit", (body) => {
        steps.push(`commit ${(body as { name: string }).name}`);
        return { nodeId: "n-2" };
      }),
  );
  await using session = await openJoin(port.address, options);
  t.same([session.server.clusterId, session.server.nodeId], ["amber", "n-1"]);
  t.same(await session.begin({ tokenId: token.id, secret: [...token.secret] }), {
    network: "10.244.0.0/16",
  });
  t.same(await session.commit({ name: "web2" }), { nodeId: "n-2" });
  t.same(steps, ["begin true", "commit web2"]);
});

t.test("a rejoin asks for other kinds", async (t) => {
  const port = await openDesk(t, new Handlers().request("rejoin.begin", () => "again"));
  await using session = await openJoin(port.address, {
    ...options,
    hello: { ...hello, wants: "rejoin" },
  });
  t.equal(await session.begin({}), "again");
});

t.test("the trap of the next tests does hear what is sent", async (t) => {
  const trap = await impostor(t, await cluster.issue("n-1"));
  await t.rejects(openJoin(trap.address, { ...options, timeoutMs: 300 }), { code: "TIMEOUT" });
  await trap.settled();
  t.ok(trap.bytesHeard() > 0);
});

t.test("an impostor with another CA hears nothing of the joiner", async (t) => {
  const other = await testCluster();
  const trap = await impostor(t, await other.issue("n-1"));
  await t.rejects(openJoin(trap.address, options), {
    code: "JOIN_CA_MISMATCH",
    why: /the token pins/,
  });
  await trap.settled();
  t.equal(trap.bytesHeard(), 0);
});

t.test("an impostor that shows the right CA behind its own certificate hears nothing", async (t) => {
  const other = await testCluster();
  const own = await other.issue("n-1");
  const trap = await impostor(t, { ...own, caBundle: cluster.ca.certPem + other.ca.certPem });
  await t.rejects(openJoin(trap.address, options), { code: "JOIN_CA_MISMATCH" });
  await trap.settled();
  t.equal(trap.bytesHeard(), 0);
});

t.test("an impostor of the same names, another key, hears nothing", async (t) => {
  const twin = await testCluster(cluster.id);
  const trap = await impostor(t, await twin.issue("n-1"));
  await t.rejects(openJoin(trap.address, options), { code: "JOIN_CA_MISMATCH" });
  await trap.settled();
  t.equal(trap.bytesHeard(), 0);
});

t.test("a server whose certificate has run out is not believed", async (t) => {
  const trap = await impostor(t, await cluster.issue("n-1"));
  const clock = new FakeClock(Date.now() + 91 * 86_400_000);
  await t.rejects(openJoin(trap.address, { ...options, clock }), {
    code: "JOIN_CA_MISMATCH",
    why: /expired/,
  });
  await trap.settled();
  t.equal(trap.bytesHeard(), 0);
});

t.test("an agent of the right cluster never gets the secret", async (t) => {
  const asked: string[] = [];
  const handlers = new Handlers().request("join.begin", () => asked.push("begin"));
  const credentials = await cluster.issue("n-3", "agent");
  const open = await openPort(t, cluster, {
    credentials,
    onJoiner: ({ channel }) => void channel.start(handlers),
  });
  await t.rejects(openJoin(open.address, options), { code: "JOIN_REFUSED", why: /agent/ });
  const closed = await openPort(t, cluster, { credentials });
  await t.rejects(openJoin(closed.address, options), { code: "JOIN_REFUSED" });
  t.same(asked, []);
});

t.test("the reason why a token was refused reaches the joiner", async (t) => {
  const port = await openDesk(t, new Handlers());
  await using session = await openJoin(port.address, options);
  await t.rejects(session.begin({}), { code: "PROTOCOL" });
  await t.rejects(session.commit({}), { message: /after it has begun/ });
});
