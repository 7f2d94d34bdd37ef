import fc from "fast-check";
import ipaddr from "ipaddr.js";
import t from "tap";
import { formatAddress } from "../../src/ip/address.ts";
import {
  contains,
  containsAddress,
  firstHost,
  formatPrefix,
  lastValue,
  nextPrefix,
  overlaps,
  parsePrefix,
  prefixOf,
  tryParsePrefix,
} from "../../src/ip/prefix.ts";

/** Blocks in a small corner of the address space, so that they often meet. */
const corner = fc.tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 22, max: 32 }))
  .map(([low, length]) => prefixOf({ family: 4, value: 0x0a000000n + BigInt(low) }, length));

t.test("host bits are dropped, as flannel drops them", async (t) => {
  t.equal(formatPrefix(parsePrefix("10.5.7.9/16")), "10.5.0.0/16");
  t.equal(formatPrefix(parsePrefix("fd00:1:2::9/48")), "fd00:1:2::/48");
});

t.test("a block without a length, or with a wrong one, is refused", async (t) => {
  for (const text of ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "::/129", "/8"]) {
    t.equal(tryParsePrefix(text), undefined, text);
  }
});

t.test("containment agrees with an independent library", async (t) => {
  fc.assert(fc.property(corner, corner, (outer, inner) => {
    const theirs = ipaddr.IPv4.parse(formatPrefix(inner).split("/")[0]!)
      .match(ipaddr.IPv4.parseCIDR(formatPrefix(outer)));
    return contains(outer, inner) === (theirs && outer.length <= inner.length);
  }));
  t.pass();
});

t.test("two blocks overlap exactly when they share an address", async (t) => {
  fc.assert(fc.property(corner, corner, (a, b) => {
    let shared = false;
    for (let value = a.base; value <= lastValue(a) && !shared; value++) {
      shared = containsAddress(b, { family: 4, value });
    }
    return overlaps(a, b) === shared && overlaps(b, a) === shared;
  }));
  t.pass();
});

t.test("families never meet", async (t) => {
  t.notOk(overlaps(parsePrefix("0.0.0.0/0"), parsePrefix("::/0")));
});

t.test("the next block and the first host follow from the base", async (t) => {
  t.equal(formatPrefix(nextPrefix(parsePrefix("10.3.255.0/24"))), "10.4.0.0/24");
  t.equal(formatAddress(firstHost(parsePrefix("10.42.7.0/24"))), "10.42.7.1");
});
