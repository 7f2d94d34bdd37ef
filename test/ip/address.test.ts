import fc from "fast-check";
import ipaddr from "ipaddr.js";
import t from "tap";
import {
  addressBytes,
  addressFromBytes,
  compareAddress,
  formatAddress,
  parseAddress,
  tryParseAddress,
} from "../../src/ip/address.ts";

const v4 = fc.bigInt(0n, 2n ** 32n - 1n).map((value) => ({ family: 4 as const, value }));
const v6 = fc.bigInt(0n, 2n ** 128n - 1n).map((value) => ({ family: 6 as const, value }));
/** Groups that are often zero, so that `::` has work to do. */
const sparse = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), {
  minLength: 8,
  maxLength: 8,
}).map((groups) => ({
  family: 6 as const,
  value: groups.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n),
}));

t.test("what is written can be read back", async (t) => {
  fc.assert(fc.property(fc.oneof(v4, v6, sparse), (address) => {
    const back = parseAddress(formatAddress(address));
    return back.family === address.family && back.value === address.value;
  }));
  t.pass();
});

t.test("an independent library reads what we write, to the same bytes", async (t) => {
  fc.assert(fc.property(fc.oneof(v4, v6, sparse), (address) => {
    const theirs = ipaddr.parse(formatAddress(address)).toByteArray();
    return theirs.join() === Array.from(addressBytes(address)).join() &&
      addressFromBytes(Uint8Array.from(theirs)).value === address.value;
  }));
  t.pass();
});

t.test("IPv6 is written as RFC 5952 asks", async (t) => {
  for (
    const [given, wanted] of [
      ["2001:0DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
      ["::", "::"],
      ["0:0:0:0:0:0:0:1", "::1"],
      ["fe80::", "fe80::"],
      ["::ffff:192.0.2.1", "::ffff:c000:201"],
    ] as const
  ) t.equal(formatAddress(parseAddress(given)), wanted);
});

t.test("what other readers guess at is refused", async (t) => {
  for (
    const text of [
      ...["", "1", "10.1", "010.1.1.1", "0x0a.1.1.1", "256.1.1.1", "1.2.3.4.5", "1.2.3.4 "],
      ...[":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8:9"],
      ...["12345::", "g::", "fe80::1%eth0", "1.2.3.4::", "::1.2.3", "::01.2.3.4"],
    ]
  ) t.equal(tryParseAddress(text), undefined, text);
  t.throws(() => parseAddress("10.1"), { code: "CONFIG_INVALID" });
});

t.test("addresses sort by number, not by text", async (t) => {
  const sorted = ["fd00::1", "10.0.0.10", "10.0.0.9", "9.0.0.0"].map(parseAddress)
    .sort(compareAddress).map(formatAddress);
  t.same(sorted, ["9.0.0.0", "10.0.0.9", "10.0.0.10", "fd00::1"]);
});
