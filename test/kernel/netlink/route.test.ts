/** Our route codec against npm netlink's, an independent reading of the same headers. */
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { parseRouteMessage } from "netlink/dist/rt/structs.js";
import t from "tap";
import { addressBytes, parseAddress } from "../../../src/ip/address.ts";
import { baseAddress, parsePrefix, prefixOf } from "../../../src/ip/prefix.ts";
import { RTM } from "../../../src/kernel/netlink/constants.ts";
import { MessageWriter, readMessages } from "../../../src/kernel/netlink/message.ts";
import {
  readRoute,
  type RouteRecord,
  writeAddRoute,
  writeDeleteRoute,
} from "../../../src/kernel/netlink/route.ts";

const family = fc.constantFrom(4 as const, 6 as const);

function address(family: 4 | 6) {
  return fc.bigInt({ min: 0n, max: (1n << (family === 4 ? 32n : 128n)) - 1n })
    .map((value) => ({ family, value }));
}

const record: fc.Arbitrary<RouteRecord> = family.chain((family) =>
  fc.record({
    destination: fc.tuple(address(family), fc.integer({ min: 0, max: family === 4 ? 32 : 128 }))
      .map(([base, length]) => prefixOf(base, length)),
    via: fc.option(address(family), { nil: undefined }),
    linkIndex: fc.option(fc.integer({ min: 1, max: 2 ** 31 - 1 }), { nil: undefined }),
    onlink: fc.boolean(),
    unreachable: fc.option(fc.constant(true), { nil: undefined }),
    protocol: fc.integer({ min: 0, max: 255 }),
    metric: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  })
).map(({ via, linkIndex, unreachable, ...rest }) => ({
  ...rest,
  ...(via === undefined || unreachable ? {} : { via }),
  ...(linkIndex === undefined || unreachable ? {} : { linkIndex }),
  ...(unreachable === undefined ? {} : { unreachable }),
}));

function encode(write: typeof writeAddRoute, route: RouteRecord) {
  const writer = new MessageWriter(16);
  write(writer, route, { sequence: 7, ack: true });
  const [message] = readMessages(writer.bytes);
  return message!;
}

t.test("what is written is what an independent reader finds", async (t) => {
  fc.assert(fc.property(record, (route) => {
    const { body, sequence, type } = encode(writeAddRoute, route);
    const theirs = parseRouteMessage(Buffer.from(body));
    const bytes = (value: ArrayLike<number> | undefined) => value && Array.from(value);
    return sequence === 7 && type === RTM.newRoute &&
      theirs.data.family === (route.destination.family === 4 ? 2 : 10) &&
      theirs.data.dstLen === route.destination.length &&
      `${theirs.data.type}` === (route.unreachable ? "UNREACHABLE" : "UNICAST") &&
      theirs.attrs.oif === route.linkIndex &&
      (theirs.attrs.priority ?? 0) === route.metric &&
      `${bytes(theirs.attrs.dst)}` === `${bytes(addressBytes(baseAddress(route.destination)))}` &&
      `${bytes(theirs.attrs.gateway)}` === `${route.via && bytes(addressBytes(route.via))}`;
  }));
  t.pass();
});

t.test("what is written is read back", async (t) => {
  fc.assert(fc.property(record, (route) => {
    const found = readRoute(encode(writeAddRoute, route).body)!;
    const { table, plain, ...rest } = found;
    return table === 254 && plain &&
      JSON.stringify(textual(rest)) === JSON.stringify(textual(route));
  }));
  t.pass();
});

t.test("a deletion matches any scope and type, but the protocol", async (t) => {
  const route = {
    destination: parsePrefix("10.42.2.0/24"),
    onlink: false,
    protocol: 68,
    metric: 0,
  };
  const { body, type } = encode(writeDeleteRoute, route);
  t.same([type, body[5], body[6], body[7]], [RTM.deleteRoute, 68, 255, 0]);
});

t.test("a gateway of the other family travels in RTA_VIA", async (t) => {
  const via = parseAddress("fd00::9");
  const route = {
    destination: parsePrefix("10.42.2.0/24"),
    via,
    onlink: false,
    protocol: 68,
    metric: 0,
  };
  t.same(readRoute(encode(writeAddRoute, route).body)?.via, via);
});

t.test("a multipath route is read by its first hop, and is not plain", async (t) => {
  const writer = new MessageWriter();
  writer.begin(RTM.newRoute, 0, 1);
  writer.raw(Uint8Array.of(2, 24, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0));
  writer.attribute(1, Uint8Array.of(10, 42, 2, 0));
  const hop = (last: number) => [16, 0, 0, 0, 3, 0, 0, 0, 8, 0, 5, 0, 10, 0, 0, last];
  writer.attribute(9, Uint8Array.from([...hop(2), ...hop(3)]));
  writer.finish();
  const found = readRoute(readMessages(writer.bytes)[0]!.body)!;
  t.same([found.via, found.linkIndex, found.plain], [parseAddress("10.0.0.2"), 3, false]);
});

/** JSON has no bigint. */
function textual(route: object): unknown {
  return JSON.parse(JSON.stringify(
    Object.fromEntries(Object.entries(route).sort(([a], [b]) => a < b ? -1 : 1)),
    (_, value) => typeof value === "bigint" ? String(value) : value,
  ));
}
