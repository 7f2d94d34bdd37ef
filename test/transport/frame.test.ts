import t from "tap";
import { concat } from "../../src/base/bytes.ts";
import { encodeFrame, FrameDecoder, HEADER_BYTES } from "../../src/transport/frame.ts";

const MAX = 1_000;

function decodeAll(decoder: FrameDecoder): unknown[] {
  const messages: unknown[] = [];
  for (let next; (next = decoder.next(MAX)) !== undefined;) messages.push(next.message);
  return messages;
}

t.test("messages come out as they went in, however the bytes are cut", async (t) => {
  const messages = [{ a: 1 }, "zwölf Gewürze", null, [[]], { long: "x".repeat(500) }];
  const bytes = concat(...messages.map((message) => encodeFrame(message, MAX)));
  for (const size of [1, 3, HEADER_BYTES, 100, bytes.length]) {
    const decoder = new FrameDecoder();
    const found: unknown[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      decoder.push(bytes.subarray(at, at + size));
      found.push(...decodeAll(decoder));
    }
    t.same(found, messages);
    t.equal(decoder.pendingBytes, 0);
  }
});

t.test("a length above the limit is refused from the header alone", async (t) => {
  const decoder = new FrameDecoder();
  decoder.push(encodeFrame("x".repeat(MAX), 2 * MAX).subarray(0, HEADER_BYTES));
  t.throws(() => decoder.next(MAX), { code: "PROTOCOL" });
});

t.test("the limit can be raised between two messages", async (t) => {
  const decoder = new FrameDecoder();
  decoder.push(concat(encodeFrame("hello", MAX), encodeFrame("x".repeat(MAX), 2 * MAX)));
  t.equal(decoder.next(MAX)?.message, "hello");
  t.equal(decoder.next(2 * MAX)?.message, "x".repeat(MAX));
});

t.test("a flipped bit is refused", async (t) => {
  for (const at of [4, HEADER_BYTES, HEADER_BYTES + 3]) {
    const bytes = encodeFrame({ route: "10.244.1.0/24" }, MAX);
    bytes[at]! ^= 4;
    const decoder = new FrameDecoder();
    decoder.push(bytes);
    t.throws(() => decoder.next(MAX), { code: "PROTOCOL" });
  }
});

t.test("what is not JSON is refused, even with the right checksum", async (t) => {
  const decoder = new FrameDecoder();
  decoder.push(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0));
  t.throws(() => decoder.next(MAX), { code: "PROTOCOL" });
});

t.test("a message that the other side would refuse is not sent", async (t) => {
  t.throws(() => encodeFrame("x".repeat(MAX), MAX), { code: "PROTOCOL" });
});

t.test("half a frame waits", async (t) => {
  const decoder = new FrameDecoder();
  decoder.push(encodeFrame("hello", MAX).subarray(0, 10));
  t.equal(decoder.next(MAX), undefined);
  t.equal(decoder.pendingBytes, 10);
});
