import t from "tap";
import { concat, equalBytes, fromHex, fromUtf8, hex, utf8 } from "../../src/base/bytes.ts";

t.test("text and hex survive the way to bytes and back", async (t) => {
  t.equal(fromUtf8(utf8("größe → 1")), "größe → 1");
  t.equal(hex(fromHex("00ff7f")), "00ff7f");
  t.ok(equalBytes(concat(fromHex("01"), fromHex("0203")), fromHex("010203")));
  t.notOk(equalBytes(fromHex("01"), fromHex("0100")));
});

t.test("bytes that are not text are refused", async (t) => {
  t.throws(() => fromUtf8(fromHex("c328")));
  t.throws(() => fromHex("abc"));
  t.throws(() => fromHex("zz"));
});
