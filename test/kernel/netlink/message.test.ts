import t from "tap";
import { utf8 } from "../../../src/base/bytes.ts";
import { readAttributes, readText, readU32 } from "../../../src/kernel/netlink/attribute.ts";
import { errorText, NLM_F, NLMSG } from "../../../src/kernel/netlink/constants.ts";
import { MessageWriter, readAnswer, readMessages } from "../../../src/kernel/netlink/message.ts";

const WORDS = utf8("Nexthop has invalid gateway\0");

/** An NLMSG_ERROR as the kernel builds it; `request` is what it repeats of the request. */
function answer(
  errno: number,
  options: { flags: number; request: Uint8Array; words?: Uint8Array },
) {
  const writer = new MessageWriter(8);
  writer.begin(NLMSG.error, options.flags, 9);
  const head = new Uint8Array(4);
  new DataView(head.buffer).setInt32(0, -errno, true);
  writer.raw(head);
  writer.raw(options.request);
  if (options.words) writer.attribute(1, options.words);
  writer.finish();
  return readAnswer(readMessages(writer.bytes)[0]!);
}

function request(lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  new DataView(bytes.buffer).setUint32(0, lengthBytes, true);
  return bytes;
}

t.test("an acknowledgement is an error of zero", async (t) => {
  t.same(answer(0, { flags: 0, request: request(16) }), { errno: 0 });
});

t.test("the kernel's words are found behind a whole and a capped request", async (t) => {
  const wanted = { errno: 101, words: "Nexthop has invalid gateway" };
  const flags = NLM_F.ackAttributes;
  t.same(answer(101, { flags, request: request(52), words: WORDS }), wanted);
  const capped = request(52).subarray(0, 16);
  t.same(answer(101, { flags: flags | NLM_F.capped, request: capped, words: WORDS }), wanted);
  t.equal(errorText(101, wanted.words), "ENETUNREACH: Nexthop has invalid gateway");
  t.equal(errorText(17), "EEXIST: File exists");
  t.equal(errorText(131), "errno 131");
});

t.test("several messages in one buffer come apart again, however it grew", async (t) => {
  const writer = new MessageWriter(1);
  for (let i = 1; i <= 3; i++) {
    writer.begin(100 + i, i, 1000 + i);
    writer.attribute(1, utf8("x".repeat(i)));
    writer.attributeU32(2, i);
    writer.finish();
  }
  const found = readMessages(writer.bytes);
  t.same(found.map((message) => [message.type, message.flags, message.sequence]), [
    [101, 1, 1001],
    [102, 2, 1002],
    [103, 3, 1003],
  ]);
  const attributes = readAttributes(found[2]!.body, 0);
  t.equal(readText(attributes.get(1)), "xxx");
  t.equal(readU32(attributes.get(2)), 3);
  t.equal(readU32(attributes.get(1)), undefined);
});

t.test("a truncated message is refused, a truncated attribute is not read", async (t) => {
  const writer = new MessageWriter();
  writer.begin(1, 0, 1);
  writer.attributeU32(1, 1);
  writer.finish();
  t.throws(() => readMessages(writer.bytes.subarray(0, -1)));
  const [message] = readMessages(writer.bytes);
  t.equal(readAttributes(message!.body.subarray(0, -1), 0).size, 0);
});
