/** The API over real sockets, and the client that the commands use. */
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import process from "node:process";
import koffi from "koffi";
import t, { type Test } from "tap";
import { createApi } from "../../src/api/app.ts";
import { ApiClient } from "../../src/api/client.ts";
import { listenOnPort, listenOnSocket } from "../../src/api/listen.ts";
import { systemClock } from "../../src/base/clock.ts";
import { type DenimError, isDenimError } from "../../src/base/errors.ts";
import { silentLogger } from "../../src/base/log.ts";
import { startChild } from "../support/child.ts";
import { FakeService } from "../support/fake-service.ts";
import { temporaryFolder } from "../support/folders.ts";
import { joiner } from "../support/ledger.ts";

async function open(t: Test, path = join(temporaryFolder(t), "denim.sock")) {
  const service = new FakeService();
  const clock = systemClock();
  const app = createApi({ service, clock, logger: silentLogger, rights: "all" });
  const listener = await listenOnSocket(app, path);
  t.teardown(() => listener[Symbol.asyncDispose]());
  return { service, app, path, listener, client: new ApiClient(path) };
}

t.test("a question and its answer over the socket", async (t) => {
  const { client, service } = await open(t);
  const { items } = await client.call("/v1/nodes") as { items: unknown[] };
  t.equal(items.length, 2);
  const body = '{"role":"agent"}';
  await client.call("/v1/tokens", { method: "POST", body });
  t.match(service.calls.at(-1)!, /^token .*"agent"/);
  t.same(await client.text("/readyz"), {
    status: 200,
    text: "ok   lease\nok   routes\nready\n",
  });
});

t.test("the daemon's words come through", async (t) => {
  const { client } = await open(t);
  const put = { method: "PUT", body: "{}", headers: { "if-match": '"3"' } } as const;
  await t.rejects(client.call("/v1/network", put), {
    code: "REVISION_MISMATCH",
    message: "It has changed",
    fix: "look",
  });
});

t.test("a daemon that is not there, or was killed, is named", async (t) => {
  const path = join(temporaryFolder(t), "denim.sock");
  const client = new ApiClient(path);
  await t.rejects(client.call("/v1/self"), {
    code: "DAEMON_UNREACHABLE",
    why: `there is no ${path}`,
  });
  await leftover(t, path);
  await t.rejects(client.call("/v1/self"), { code: "DAEMON_UNREACHABLE", why: /nobody listens/ });
});

/** What a killed daemon leaves: a socket that nobody listens at. */
async function leftover(t: Test, path: string): Promise<void> {
  const child = startChild(
    t,
    `import { createServer } from "node:net";
    createServer().listen(${JSON.stringify(path)}, () => console.log("up"));`,
  );
  await child.spoke;
  child.kill();
  await child.closed;
}

t.test("a daemon that dies in the middle of its answer is a lost connection", async (t) => {
  const path = join(temporaryFolder(t), "denim.sock");
  const server = createServer((_, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("{", () => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => server.close());
  const error = await new ApiClient(path).call("/v1/self").then(() => undefined, (error) => error);
  t.ok(["CONNECTION_LOST", "DAEMON_UNREACHABLE"].includes(error.code), String(error));
});

t.test("who waits only so long is told that the daemon hangs", async (t) => {
  const path = join(temporaryFolder(t), "denim.sock");
  const server = createServer(() => {});
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => server.close());
  const asked = new ApiClient(path).call("/v1/self", { timeoutMs: 50 });
  const error = await asked.then(() => undefined, (error: DenimError) => error);
  t.equal(error?.code, "TIMEOUT");
  t.match(error?.why ?? "", /said nothing for 50 ms/);
});

t.test("an answer that is none of ours is an error too", async (t) => {
  const path = join(temporaryFolder(t), "denim.sock");
  const server = createServer((_, response) => response.writeHead(502).end("<html>"));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => server.close());
  await t.rejects(new ApiClient(path).call("/v1/self"), { code: "INTERNAL", why: "<html>" });
});

t.test("a socket that this user may not open", async (t) => {
  const { client, path } = await open(t);
  chmodSync(path, 0o000);
  // Root may open anything, so it is somebody else for a moment.
  const seteuid = koffi.load("libc.so.6").func("int seteuid(uint32_t)");
  const isRoot = process.getuid?.() === 0;
  if (isRoot) seteuid(65_534);
  const asked = client.call("/v1/self").then(() => undefined, (error) => error as unknown);
  const error = await asked.finally(() => isRoot && seteuid(0));
  t.ok(isDenimError(error, "PERMISSION_DENIED"), String(error));
  t.match((error as DenimError).fix!, /group denim/);
});

t.test(
  "events are read as they come, until the reader has had enough",
  { timeout: 300_000 },
  async (t) => {
    const { client, service } = await open(t);
    const stop = new AbortController();
    const names: string[] = [];
    const reading = client.events("/v1/events", ({ name, id, data }) => {
      names.push(name);
      JSON.parse(data);
      if (id !== "") stop.abort();
    }, stop.signal);
    await service.followed;
    service.cluster.apply({ kind: "node.join", tokenId: "open", node: joiner(2) });
    await reading;
    t.same(names.sort(), ["lease.granted", "node.joined"]);
    await t.rejects(client.events("/v1/events?since=x", () => {}, new AbortController().signal), {
      code: "REQUEST_INVALID",
    });
  },
);

t.test("only its owner and its group may open the socket, and it goes with the daemon", async (t) => {
  const { path, listener } = await open(t);
  t.equal(statSync(path).mode & 0o777, 0o660);
  await listener[Symbol.asyncDispose]();
  t.equal(existsSync(path), false);
});

t.test("a second daemon at one socket is refused; a killed one's is taken over", async (t) => {
  const first = await open(t);
  await t.rejects(listenOnSocket(first.app, first.path), { code: "PORT_IN_USE", fix: /--socket/ });
  t.ok(await first.client.call("/v1/self"), "the first is not disturbed");
  const path = join(temporaryFolder(t), "denim.sock");
  await leftover(t, path);
  const second = await open(t, path);
  t.ok(await second.client.call("/v1/self"));
});

t.test("a file that is no socket is nobody's to remove", async (t) => {
  const path = join(temporaryFolder(t), "important");
  writeFileSync(path, "years of work");
  const { app } = await open(t);
  await t.rejects(listenOnSocket(app, path), { code: "CONFIG_INVALID", fix: /--socket/ });
  t.equal(readFileSync(path, "utf8"), "years of work");
});

t.test("a port that is taken is named", async (t) => {
  const { app } = await open(t);
  const listener = await listenOnPort(app, "127.0.0.1", 0);
  t.teardown(() => listener[Symbol.asyncDispose]());
  t.ok(listener.port > 0);
  const answer = await fetch(`http://127.0.0.1:${listener.port}/livez`);
  t.equal(await answer.text(), "ok\n");
  await t.rejects(listenOnPort(app, "127.0.0.1", listener.port), {
    code: "PORT_IN_USE",
    fix: /--api-port/,
  });
});
