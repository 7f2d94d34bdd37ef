import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import t from "tap";
import { formatEndpoint, parseEndpoint } from "../../src/transport/address.ts";
import { Handlers } from "../../src/transport/handlers.ts";
import { FakeClock } from "../support/clock.ts";
import { dialAs, openPort } from "../support/cluster-port.ts";
import { testCluster } from "../support/pki.ts";

const cluster = await testCluster();

t.test("an address may leave its port out", async (t) => {
  t.same(parseEndpoint("web1"), { host: "web1", port: 7470 });
  t.same(parseEndpoint("192.0.2.11:99"), { host: "192.0.2.11", port: 99 });
  t.same(parseEndpoint("[2001:db8::1]:99"), { host: "2001:db8::1", port: 99 });
  t.same(parseEndpoint("2001:db8::1"), { host: "2001:db8::1", port: 7470 });
  t.equal(formatEndpoint(parseEndpoint("[::1]")), "[::1]:7470");
  for (const wrong of ["", "web1:", "web1:0", "web1:65536", "[::1", "http://web1", "a b"]) {
    t.throws(() => parseEndpoint(wrong), { code: "CONFIG_INVALID" }, wrong);
  }
});

t.test("an agent's certificate does not serve", async (t) => {
  const credentials = await cluster.issue("n-1", "agent");
  const port = await openPort(t, cluster, { credentials });
  await t.rejects(dialAs(t, cluster, "n-2", port.address), {
    code: "PEER_REFUSED",
    why: /agent/,
  });
  t.same(port.peers, []);
});

t.test("a server of another CA is not believed", async (t) => {
  const other = await testCluster();
  const port = await openPort(t, other);
  await t.rejects(dialAs(t, cluster, "n-2", port.address), { code: "PEER_REFUSED" });
  t.same(port.peers, []);
});

t.test("a server that is not the expected node is not believed", async (t) => {
  const port = await openPort(t, cluster);
  const expected = dialAs(t, cluster, "n-2", port.address, { expectNodeId: "n-7" });
  await t.rejects(expected, { code: "PEER_REFUSED", why: /n-1 answers, not n-7/ });
  const { identity } = await dialAs(t, cluster, "n-2", port.address, { expectNodeId: "n-1" });
  t.equal(identity.nodeId, "n-1");
});

t.test("an agent's certificate may dial", async (t) => {
  const port = await openPort(t, cluster, { handlers: new Handlers().request("who", () => "n-1") });
  const credentials = await cluster.issue("n-2", "agent");
  const hello = cluster.hello("n-2", { role: "agent", wants: "watch" });
  const { channel } = await dialAs(t, cluster, "n-2", port.address, { credentials, hello });
  t.equal(await channel.start(new Handlers()).request("who", {}), "n-1");
});

t.test("where nothing listens the reason is given", async (t) => {
  await t.rejects(dialAs(t, cluster, "n-2", "127.0.0.1:1"), {
    code: "PEER_UNREACHABLE",
    why: "nothing listens there",
  });
});

t.test("one who never answers is given up in time, or when told to", async (t) => {
  const server = createServer(() => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => server.close());
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const credentials = await cluster.issue("n-2");

  const clock = new FakeClock(1_900_000_000_000);
  const slow = dialAs(t, cluster, "n-2", address, { credentials, clock, timeoutMs: 3_000 });
  const failed = t.rejects(slow, { code: "TIMEOUT" });
  await clock.advance(3_000);
  await failed;

  const abort = new AbortController();
  const waiting = dialAs(t, cluster, "n-2", address, { credentials, signal: abort.signal });
  const cancelled = t.rejects(waiting, { code: "CANCELLED" });
  abort.abort();
  await cancelled;
});
