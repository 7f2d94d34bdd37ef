import t from "tap";
import { addressBytes, parseAddress } from "../../src/ip/address.ts";
import { answerOf, type EchoRequest, EchoSocket, packetOf } from "../../src/kernel/echo.ts";
import type { Libc } from "../../src/kernel/libc.ts";
import { FakeClock } from "../support/clock.ts";

const REQUESTS = {
  4: { from: parseAddress("10.1.0.2"), to: parseAddress("10.2.0.2"), hops: 1 },
  6: { from: parseAddress("fd00:1::2"), to: parseAddress("fd00:2::2"), hops: 1 },
} as const;
const TYPES = { 4: { reply: 0, expired: 11, far: 3 }, 6: { reply: 129, expired: 3, far: 1 } };
const ROUTER = { 4: parseAddress("192.0.2.9"), 6: parseAddress("2001:db8::9") };
const HEAD = { 4: 20, 6: 40 };

/** RFC 1071: over what carries its own checksum it is nothing. */
function sumOf(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i]! << 8 | bytes[i + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** An answer by a router, or by the target itself. */
function answer(family: 4 | 6, type: number, quoted: Uint8Array): Uint8Array {
  const request: EchoRequest = { from: ROUTER[family], to: REQUESTS[family].from, hops: 60 };
  const packet = packetOf(request, 0).subarray(0, HEAD[family] + 8);
  packet[HEAD[family]] = type;
  return new Uint8Array([...packet, ...quoted]);
}

for (const family of [4, 6] as const) {
  const request = REQUESTS[family];

  t.test(`IPv${family}: a request has one hop to live and a checksum that holds`, async (t) => {
    const packet = packetOf(request, 0xabcd);
    const body = packet.subarray(HEAD[family]);
    const pseudo = family === 4 ? [] : [
      ...[...addressBytes(request.from), ...addressBytes(request.to)],
      ...[0, 0, 0, body.length, 0, 0, 0, 58],
    ];
    t.equal(sumOf(new Uint8Array([...pseudo, ...body])), 0);
    t.equal(packet[family === 4 ? 8 : 7], 1);
  });

  t.test(`IPv${family}: who answers, and how`, async (t) => {
    const sent = packetOf(request, 0xabcd);
    const { reply, expired, far } = TYPES[family];
    const by = ROUTER[family];
    const read = (packet: Uint8Array, id = 0xabcd) => answerOf(family, packet, request, id);
    t.same(read(answer(family, expired, sent)), { by, kind: "expired" });
    t.same(read(answer(family, far, sent)), { by, kind: "unreachable" });
    const echoed = packetOf({ from: by, to: request.from, hops: 60 }, 0xabcd);
    echoed[HEAD[family]] = reply;
    t.same(read(echoed), { by, kind: "reply" });
    t.equal(read(echoed, 0xabce), undefined, "an answer to somebody else");
    t.equal(read(answer(family, expired, sent), 1), undefined, "about somebody else's packet");
    const elsewhere = packetOf({ ...request, to: by }, 0xabcd);
    t.equal(read(answer(family, expired, elsewhere)), undefined, "to another target");
    for (let length = 0; length < HEAD[family] + 8 + HEAD[family]; length++) {
      t.equal(read(answer(family, expired, sent).subarray(0, length)), undefined, "cut off");
    }
  });
}

/** A machine on which packets come one by one, each in no time; then none, for as long as is waited. */
function machineWith(clock: FakeClock, packets: readonly Uint8Array[]): Libc {
  let [sent, read, ready] = [false, 0, 0];
  const parts: Partial<Libc> = {
    socket: () => 3,
    close: () => 0,
    attachFilter: () => 0,
    sendto: () => {
      sent = true;
      return 0;
    },
    poll: async (_fds, _count, timeoutMs) => {
      if (ready < packets.length) return ++ready;
      await clock.advance(timeoutMs);
      return 0;
    },
    recv: (_fd, buffer) => {
      const packet = sent && read < ready ? packets[read++]! : undefined;
      if (packet === undefined) return -1;
      (buffer as Uint8Array).set(packet);
      return packet.length;
    },
  };
  return parts as Libc;
}

t.test("others' answers take nothing of the time that an answer has", async (t) => {
  const request = REQUESTS[4];
  const replyTo = (id: number) => {
    const packet = packetOf({ from: ROUTER[4], to: request.from, hops: 60 }, id);
    packet[HEAD[4]] = TYPES[4].reply;
    return packet;
  };
  const others = Array.from({ length: 100 }, () => replyTo(1));
  const ask = async (packets: readonly Uint8Array[]) => {
    const clock = new FakeClock();
    const startMs = clock.monotonicMs();
    using socket = new EchoSocket(machineWith(clock, packets), 4, clock);
    const answer = await socket.ask(request, 7, 400);
    return [answer?.kind, clock.monotonicMs() - startMs];
  };
  t.same(await ask([...others, replyTo(7)]), ["reply", 0]);
  t.same(await ask(others), [undefined, 400], "and when none comes, it is over in time");
});
