import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import t from "tap";
import { systemClock } from "../../src/base/clock.ts";
import { DenimError } from "../../src/base/errors.ts";
import { Channel, type ChannelOptions } from "../../src/transport/channel.ts";
import { encodeFrame } from "../../src/transport/frame.ts";
import { Handlers } from "../../src/transport/handlers.ts";
import { SocketWire } from "../../src/transport/wire.ts";
import { FakeClock } from "../support/clock.ts";
import { socketPair, until } from "../support/sockets.ts";
import type { Test } from "../support/tap.ts";

const MAX = 1024 * 1024;

function channelOn(socket: Socket, options: Partial<ChannelOptions> = {}): Channel {
  return new Channel(new SocketWire(socket, MAX), {
    clock: systemClock(),
    peer: "web1",
    ...options,
  });
}

async function channelPair(
  t: Test,
  near: Partial<ChannelOptions> = {},
  far: Partial<ChannelOptions> = {},
): Promise<readonly [Channel, Channel, readonly [Socket, Socket]]> {
  const sockets = await socketPair(t);
  return [channelOn(sockets[0], near), channelOn(sockets[1], far), sockets];
}

t.test("both sides ask at once and get their own answers", async (t) => {
  const [a, b] = await channelPair(t);
  a.start(new Handlers().request("double", (body) => (body as number) * 2));
  b.start(new Handlers().request("name", async (body) => `node ${body}`));
  const asked = [a.request("name", 1), b.request("double", 21), a.request("name", 2)];
  t.same(await Promise.all(asked), ["node 1", 42, "node 2"]);
});

t.test("an answer may be nothing at all", async (t) => {
  const [a, b] = await channelPair(t);
  a.start(new Handlers());
  b.start(new Handlers().request("forget", () => undefined));
  t.equal(await a.request("forget", undefined), undefined);
});

t.test("an error keeps its code, reason and advice on the way", async (t) => {
  const [a, b] = await channelPair(t);
  const taken = new DenimError("LEASE_TAKEN", "taken", { why: "web1 has it", fix: "choose" });
  a.start(new Handlers());
  b.start(
    new Handlers().request("known", () => {
      throw taken;
    }).request("unknown", async () => {
      throw new Error("boom");
    }),
  );
  await t.rejects(a.request("known", {}), {
    code: "LEASE_TAKEN",
    message: "taken",
    why: "web1 has it",
    fix: "choose",
  });
  await t.rejects(a.request("unknown", {}), { code: "INTERNAL" });
  await t.rejects(a.request("nobody answers this", {}), { code: "PROTOCOL" });
  t.equal(b.isClosed, false);
});

t.test("notifications arrive in order, and an unknown one does no harm", async (t) => {
  const [a, b] = await channelPair(t);
  const heard: unknown[] = [];
  a.start(new Handlers());
  b.start(new Handlers().notice("raft", (body) => heard.push(body)));
  for (const body of [1, 2, 3]) a.notify("raft", body);
  a.notify("from the future", {});
  a.notify("raft", 4);
  await until(() => heard.length === 4, "all notifications arrived");
  t.same(heard, [1, 2, 3, 4]);
});

t.test("a request gives up in time, and the other side hears it", async (t) => {
  const clock = new FakeClock();
  const [a, b] = await channelPair(t, { clock });
  let gaveUp = false;
  a.start(new Handlers());
  b.start(
    new Handlers().request(
      "slow",
      (_, { signal }) =>
        new Promise((resolve) =>
          signal.addEventListener("abort", () => {
            gaveUp = true;
            resolve("too late");
          })
        ),
    ),
  );
  const asked = a.request("slow", {}, { timeoutMs: 500 });
  const failed = t.rejects(asked, { code: "TIMEOUT" });
  await clock.advance(500);
  await failed;
  await until(() => gaveUp, "the handler was aborted");
});

t.test("a request that the asker cancels is cancelled", async (t) => {
  const [a, b] = await channelPair(t);
  a.start(new Handlers());
  b.start(new Handlers().request("slow", () => new Promise(() => {})));
  const abort = new AbortController();
  const asked = a.request("slow", {}, { signal: abort.signal });
  abort.abort();
  await t.rejects(asked, { code: "CANCELLED" });
  await t.rejects(a.request("slow", {}, { signal: abort.signal }), { code: "CANCELLED" });
});

t.test("a request outstanding when the socket dies fails, and so does every later one", async (t) => {
  const [a, b, [, far]] = await channelPair(t);
  a.start(new Handlers());
  let aborted = false;
  b.start(
    new Handlers().request("slow", (_, { signal }) => {
      signal.addEventListener("abort", () => aborted = true);
      far.destroy();
      return new Promise(() => {});
    }),
  );
  await t.rejects(a.request("slow", {}), { code: "CONNECTION_LOST" });
  await t.rejects(a.request("slow", {}), { code: "CONNECTION_LOST" });
  await t.rejects(a.open("watch", {}).next(), { code: "CONNECTION_LOST" });
  t.equal((await a.closed).code, "CONNECTION_LOST");
  await b.closed;
  t.ok(aborted);
});

t.test("a stream yields its items and ends", async (t) => {
  const [a, b] = await channelPair(t);
  a.start(new Handlers());
  b.start(
    new Handlers().stream("count", async (body, sink) => {
      for (let n = 1; n <= (body as number); n++) sink.send(n);
    }),
  );
  const items: unknown[] = [];
  for await (const item of a.open("count", 3)) items.push(item);
  t.same(items, [1, 2, 3]);
  await t.rejects(a.open("unknown", {}).next(), { code: "PROTOCOL" });
});

t.test("a stream that fails says why after its last item", async (t) => {
  const [a, b] = await channelPair(t);
  a.start(new Handlers());
  b.start(
    new Handlers().stream("watch", async (_, sink) => {
      sink.send("first");
      throw new DenimError("COMPACTED", "too old");
    }),
  );
  const stream = a.open("watch", {});
  t.same(await stream.next(), { done: false, value: "first" });
  await t.rejects(stream.next(), { code: "COMPACTED" });
  t.same(await stream.next(), { done: true, value: undefined });
});

t.test("a watcher that leaves the loop stops the stream", async (t) => {
  const [a, b] = await channelPair(t);
  const stopped = new Promise<boolean>((resolve) => {
    b.start(
      new Handlers().stream("watch", async (_, sink) => {
        sink.send("first");
        await new Promise((done) => sink.signal.addEventListener("abort", done));
        resolve(sink.send("after the end"));
      }),
    );
  });
  a.start(new Handlers());
  for await (const item of a.open("watch", {})) {
    t.equal(item, "first");
    break;
  }
  t.equal(await stopped, false);
});

t.test("a reader that does not read loses its stream, not the writer's memory", async (t) => {
  const queueBytesMax = 100_000;
  const dropped: number[] = [];
  const onDrop = (_: string, total: number) => dropped.push(total);
  const [writer, reader, [near, far]] = await channelPair(t, { queueBytesMax, onDrop });
  const ended = new Promise<number>((resolve) => {
    writer.start(
      new Handlers().stream("watch", async (_, sink) => {
        far.pause();
        let sent = 0;
        while (sink.send("x".repeat(10_000))) {
          sent++;
          await new Promise((done) => setImmediate(done));
        }
        resolve(sent);
      }),
    );
  });
  reader.start(new Handlers());
  const stream = reader.open("watch", {});
  const sent = await ended;
  t.ok(near.writableLength <= queueBytesMax + 11_000, `${near.writableLength} bytes wait`);

  t.equal(writer.notify("raft", {}), false);
  t.same(dropped, [1]);
  t.equal(writer.dropped, 1);
  await t.rejects(writer.request("anything", {}), { code: "OVERLOADED" });

  far.resume();
  let received = 0;
  const drain = async () => {
    for await (const _ of stream) received++;
  };
  await t.rejects(drain(), { code: "OVERLOADED" });
  t.equal(received, sent);
  t.equal(writer.isClosed, false);
});

t.test("a snapshot waits for room instead of overflowing", async (t) => {
  const [writer, reader] = await channelPair(t, { queueBytesMax: 50_000 });
  writer.start(
    new Handlers().stream("snapshot", async (_, sink) => {
      for (let n = 0; n < 200 && await sink.room(); n++) sink.send([n, "x".repeat(20_000)]);
    }),
  );
  reader.start(new Handlers());
  let received = 0;
  for await (const item of reader.open("snapshot", {})) {
    if ((item as [number])[0] === received) received++;
  }
  t.equal(received, 200);
});

t.test("items that nobody takes end the stream on the reading side", async (t) => {
  const [writer, reader] = await channelPair(t, {}, { streamBytesMax: 50_000 });
  const stopped = new Promise<void>((resolve) => {
    writer.start(
      new Handlers().stream("watch", async (_, sink) => {
        while (sink.send("x".repeat(10_000))) {
          await new Promise((done) => setImmediate(done));
        }
        resolve();
      }),
    );
  });
  reader.start(new Handlers());
  const stream = reader.open("watch", {});
  await stopped;
  const drain = async () => {
    for await (const _ of stream);
  };
  await t.rejects(drain(), { code: "OVERLOADED" });
});

t.test("a side that asks more than is allowed at once is told so", async (t) => {
  const [a, b] = await channelPair(t, {}, { runningMax: 2 });
  a.start(new Handlers());
  let release = () => {};
  const gate = new Promise<void>((resolve) => release = resolve);
  b.start(new Handlers().request("wait", () => gate.then(() => "done")));
  const first = [a.request("wait", {}), a.request("wait", {})];
  await t.rejects(a.request("wait", {}), { code: "OVERLOADED" });
  release();
  t.same(await Promise.all(first), ["done", "done"]);
  t.equal(await a.request("wait", {}), "done");
});

t.test("a kind that is not allowed ends the connection", async (t) => {
  const [a, b] = await channelPair(t, {}, { allow: (kind) => kind.startsWith("join.") });
  a.start(new Handlers());
  b.start(new Handlers().request("lease.list", () => "secret").request("join.begin", () => "ok"));
  t.equal(await a.request("join.begin", {}), "ok");
  await t.rejects(a.request("lease.list", {}), { code: "CONNECTION_LOST" });
  t.equal((await b.closed).code, "NOT_A_MEMBER");
});

t.test("a message that is too large fails its request and nothing else", async (t) => {
  const [a, b] = await channelPair(t);
  a.start(new Handlers());
  b.start(new Handlers().request("big", () => "x".repeat(MAX)).request("small", () => "fine"));
  await t.rejects(a.request("small", "x".repeat(MAX)), { code: "PROTOCOL" });
  await t.rejects(a.request("big", {}), { code: "PROTOCOL" });
  t.equal(await a.request("small", {}), "fine");
});

for (
  const [what, bytes] of [
    ["an announced length above the limit", Uint8Array.of(255, 0, 0, 0, 0, 0, 0, 0)],
    ["a wrong checksum", Uint8Array.of(0, 0, 0, 2, 0, 0, 0, 0, 123, 125)],
    ["a message that is no packet", encodeFrame({ t: "ask", kind: "x" }, MAX)],
    ["a packet of an unknown type", encodeFrame({ t: "shout", id: 1 }, MAX)],
  ] as const
) {
  t.test(`${what} ends the connection`, async (t) => {
    const [near, far] = await socketPair(t);
    const channel = channelOn(near).start(new Handlers());
    const asked = channel.request("anything", {});
    far.write(bytes);
    await t.rejects(asked, { code: "CONNECTION_LOST" });
    t.equal((await channel.closed).code, "PROTOCOL");
  });
}

t.test("a frame that is cut short ends the connection and is never delivered", async (t) => {
  const [near, far] = await socketPair(t);
  const heard: unknown[] = [];
  const channel = channelOn(near).start(
    new Handlers().notice("raft", (body) => heard.push(body)),
  );
  const frame = encodeFrame({ t: "tell", kind: "raft", body: "whole" }, MAX);
  far.end(Buffer.concat([frame, frame.subarray(0, 20)]));
  const reason = await channel.closed;
  t.equal(reason.code, "CONNECTION_LOST");
  t.match(reason.why!, /middle of a message/);
  t.same(heard, ["whole"]);
});

t.test("what arrives before the start waits for it", async (t) => {
  const [a, b] = await channelPair(t);
  a.start(new Handlers());
  const asked = a.request("early", {});
  await new Promise((resolve) => setTimeout(resolve, 30));
  b.start(new Handlers().request("early", () => "answered"));
  t.equal(await asked, "answered");
});

t.test("a peer that falls silent is dead after six seconds, and not before", async (t) => {
  const clock = new FakeClock();
  const [near, far] = await socketPair(t);
  const channel = channelOn(near, { clock }).start(new Handlers());
  const asked = channel.request("anything", {}, { timeoutMs: 60_000 });
  const failed = t.rejects(asked, { code: "CONNECTION_LOST" });
  await clock.advance(5_999);
  t.equal(channel.isClosed, false);
  await clock.advance(1);
  await failed;
  t.match((await channel.closed).why!, /sent nothing for 6 s/);
  far.destroy();
});

t.test("any byte keeps a peer alive, and pings measure the way", async (t) => {
  const clock = new FakeClock();
  const [a, b] = await channelPair(t, { clock });
  a.start(new Handlers());
  b.start(new Handlers());
  for (let beat = 0; beat < 5; beat++) {
    await clock.advance(2_000);
    await a.request("anything", {}).catch(() => {});
  }
  t.equal(a.isClosed, false);
  t.equal(a.rttMs, 0);
  a.close();
  t.equal((await b.closed).code, "CONNECTION_LOST");
});
