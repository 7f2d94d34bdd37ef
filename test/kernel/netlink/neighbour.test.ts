/** Our codecs of neighbours and addresses against npm netlink's. */
import { Buffer } from "node:buffer";
import fc from "fast-check";
import * as theirs from "netlink/dist/rt/gen_structs.js";
import t from "tap";
import { addressBytes } from "../../../src/ip/address.ts";
import { macBytes, macFromBytes } from "../../../src/ip/mac.ts";
import { writeAddAddress, writeDeleteAddress } from "../../../src/kernel/netlink/address.ts";
import { IFADDRMSG_BYTES, NDMSG_BYTES, RTM } from "../../../src/kernel/netlink/constants.ts";
import { MessageWriter, readMessages } from "../../../src/kernel/netlink/message.ts";
import {
  type NeighbourRecord,
  readNeighbour,
  writeAddNeighbour,
  writeDeleteNeighbour,
} from "../../../src/kernel/netlink/neighbour.ts";

const REQUEST = { sequence: 7, ack: true };

const address = fc.oneof(
  fc.bigInt({ min: 0n, max: (1n << 32n) - 1n }).map((value) => ({ family: 4 as const, value })),
  fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map((value) => ({ family: 6 as const, value })),
);
const linkIndex = fc.integer({ min: 1, max: 2 ** 31 - 1 });

const record: fc.Arbitrary<Required<NeighbourRecord>> = fc.record({
  sort: fc.constantFrom("neighbour" as const, "forwarding" as const),
  linkIndex,
  address,
  mac: fc.uint8Array({ minLength: 6, maxLength: 6 }).map(macFromBytes),
});

function messageOf(write: (writer: MessageWriter) => void) {
  const writer = new MessageWriter(16);
  write(writer);
  return readMessages(writer.bytes)[0]!;
}

const bytes = (value: ArrayLike<number> | undefined) => `${value && Array.from(value)}`;

t.test("what is written is what an independent reader finds", async (t) => {
  fc.assert(fc.property(record, fc.boolean(), (entry, replace) => {
    const { type, flags, body } = messageOf((writer) =>
      writeAddNeighbour(writer, entry, { ...REQUEST, replace })
    );
    const head = theirs.parseNeighbor(Buffer.from(body.subarray(0, NDMSG_BYTES)));
    const rest = theirs.parseNeighborAttrs(Buffer.from(body.subarray(NDMSG_BYTES)));
    const family = entry.sort === "forwarding" ? 7 : entry.address.family === 4 ? 2 : 10;
    return type === RTM.newNeighbour && (flags & 0x300) === (replace ? 0x100 : 0x200) &&
      head.family === family && head.ifindex === entry.linkIndex &&
      head.state?.permanent === true &&
      (head.flags?.self === true) === (entry.sort === "forwarding") &&
      bytes(rest.dst) === bytes(addressBytes(entry.address)) &&
      bytes(rest.lladdr) === bytes(macBytes(entry.mac));
  }));
  t.pass();
});

t.test("what is written is read back", async (t) => {
  fc.assert(fc.property(record, (entry) => {
    const { body } = messageOf((writer) =>
      writeAddNeighbour(writer, entry, { ...REQUEST, replace: false })
    );
    const found = readNeighbour(body)!;
    return found.sort === entry.sort && found.linkIndex === entry.linkIndex &&
      found.address?.value === entry.address.value && found.mac === entry.mac &&
      found.permanent && found.plain;
  }));
  t.pass();
});

t.test("a deletion names an entry by its key alone", async (t) => {
  const entry = {
    ...{ linkIndex: 9, address: { family: 4 as const, value: 0x0a2a0200n } },
    mac: "02:00:00:00:00:02",
  };
  const keyOf = (sort: "neighbour" | "forwarding") => {
    const { type, body } = messageOf((writer) =>
      writeDeleteNeighbour(writer, { sort, ...entry }, REQUEST)
    );
    const { address, mac } = readNeighbour(body)!;
    return [type, address?.value, mac];
  };
  t.same(keyOf("neighbour"), [RTM.deleteNeighbour, 0x0a2a0200n, undefined]);
  t.same(keyOf("forwarding"), [RTM.deleteNeighbour, undefined, "02:00:00:00:00:02"]);
});

t.test("an address is written as an independent reader finds it", async (t) => {
  fc.assert(fc.property(linkIndex, address, fc.boolean(), (linkIndex, address, isNew) => {
    const length = address.family === 4 ? 31 : 127;
    const write = isNew ? writeAddAddress : writeDeleteAddress;
    const { type, body } = messageOf((writer) =>
      write(writer, { linkIndex, address, length }, REQUEST)
    );
    const head = theirs.parseAddress(Buffer.from(body.subarray(0, IFADDRMSG_BYTES)));
    const rest = theirs.parseAddressAttrs(Buffer.from(body.subarray(IFADDRMSG_BYTES)));
    return type === (isNew ? RTM.newAddress : RTM.deleteAddress) && head.index === linkIndex &&
      head.prefixlen === length && bytes(rest.local) === bytes(addressBytes(address)) &&
      bytes(rest.address) === bytes(addressBytes(address));
  }));
  t.pass();
});
