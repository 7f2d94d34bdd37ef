/** Our link codec against npm netlink's, an independent reading of the same headers. */
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { parseInfo, parseLinkAttrs, parseVxlan } from "netlink/dist/rt/ifla.js";
import t from "tap";
import { addressBytes } from "../../../src/ip/address.ts";
import { macBytes, macFromBytes } from "../../../src/ip/mac.ts";
import { readAttributes } from "../../../src/kernel/netlink/attribute.ts";
import { IFINFOMSG_BYTES, RTM } from "../../../src/kernel/netlink/constants.ts";
import {
  type NewLink,
  readLinkRecord,
  writeAddLink,
  writeDeleteLink,
  writeSetLink,
} from "../../../src/kernel/netlink/link.ts";
import { MessageWriter, readMessages } from "../../../src/kernel/netlink/message.ts";

const REQUEST = { sequence: 7, ack: true };

const local = fc.oneof(
  fc.bigInt({ min: 0n, max: (1n << 32n) - 1n }).map((value) => ({ family: 4 as const, value })),
  fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map((value) => ({ family: 6 as const, value })),
);

const newLink: fc.Arbitrary<NewLink> = fc.record({
  name: fc.stringMatching(/^denim[a-z0-9.-]{0,10}$/),
  mac: fc.uint8Array({ minLength: 6, maxLength: 6 }).map(macFromBytes),
  mtu: fc.integer({ min: 68, max: 65535 }),
  group: fc.integer({ min: 0, max: 2 ** 31 }),
  vxlan: fc.record({
    vni: fc.integer({ min: 0, max: 2 ** 24 - 1 }),
    port: fc.integer({ min: 1, max: 65535 }),
    local,
    underlayIndex: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    learning: fc.boolean(),
    gbp: fc.boolean(),
  }),
});

function bodyOf(write: (writer: MessageWriter) => void) {
  const writer = new MessageWriter(16);
  write(writer);
  return readMessages(writer.bytes)[0]!;
}

const bytes = (value: ArrayLike<number> | undefined) => `${value && Array.from(value)}`;

t.test("what is written is what an independent reader finds", async (t) => {
  fc.assert(fc.property(newLink, (link) => {
    const { body, type } = bodyOf((writer) => writeAddLink(writer, link, REQUEST));
    const attributes = parseLinkAttrs(Buffer.from(body.subarray(IFINFOMSG_BYTES)));
    const info = parseInfo(attributes.linkinfo as unknown as Buffer);
    const found = parseVxlan(info.data as Buffer);
    const { vxlan } = link;
    const theirs = vxlan.local.family === 4 ? found.local : found.local6;
    return type === RTM.newLink && attributes.ifname === link.name &&
      attributes.mtu === link.mtu && attributes.group === link.group &&
      bytes(attributes.address) === bytes(macBytes(link.mac)) && info.kind === "vxlan" &&
      found.id === vxlan.vni && found.link === vxlan.underlayIndex &&
      bytes(theirs) === bytes(addressBytes(vxlan.local)) &&
      Number(found.learning) === Number(vxlan.learning) &&
      bytes(found.port as unknown as Buffer) === `${vxlan.port >> 8},${vxlan.port & 255}`;
  }));
  t.pass();
});

t.test("what is written is read back", async (t) => {
  fc.assert(fc.property(newLink, (link) => {
    const { body } = bodyOf((writer) => writeAddLink(writer, link, REQUEST));
    const found = readLinkRecord(readAttributes(body, IFINFOMSG_BYTES));
    const text = (value: unknown) =>
      JSON.stringify(value, (_, item) => typeof item === "bigint" ? `${item}` : item);
    const { vni, port, local, underlayIndex, learning, gbp } = found.vxlan!;
    return found.mac === link.mac && found.group === link.group && found.alias === "" &&
      text({ vni, port, local, underlayIndex, learning, gbp }) === text(link.vxlan);
  }));
  t.pass();
});

t.test("a change says only what is another, and a deletion only which", async (t) => {
  const { body, type } = bodyOf((writer) =>
    writeSetLink(writer, 9, { alias: "denim:10.42.0.0/16", up: true }, REQUEST)
  );
  const attributes = parseLinkAttrs(Buffer.from(body.subarray(IFINFOMSG_BYTES)));
  t.same([type, body[4], body[8], body[12]], [RTM.setLink, 9, 1, 1]);
  t.equal(attributes.ifalias, "denim:10.42.0.0/16");
  t.same([attributes.mtu, attributes.address], [undefined, undefined]);
  const gone = bodyOf((writer) => writeDeleteLink(writer, 9, REQUEST));
  t.same([gone.type, gone.body[4], gone.body[8], gone.body.length], [RTM.deleteLink, 9, 0, 16]);
});

t.test("a tunnel with a group, or one that others steer, is none of ours", async (t) => {
  const [GROUP, COLLECT_METADATA] = [2, 25];
  const data = (type: number, value: Uint8Array) =>
    bodyOf((writer) => {
      writer.begin(RTM.newLink, 0, 1);
      writer.nest(18, () => {
        writer.attribute(1, new TextEncoder().encode("vxlan\0"));
        writer.nest(2, () => {
          writer.attributeU32(1, 5);
          writer.attribute(4, Uint8Array.of(10, 0, 0, 1));
          writer.attribute(type, value);
        });
      });
      writer.finish();
    }).body;
  const of = (type: number, ...value: number[]) =>
    readLinkRecord(readAttributes(data(type, Uint8Array.from(value)), 0)).vxlan;
  t.equal(of(COLLECT_METADATA, 0)?.vni, 5);
  t.equal(of(COLLECT_METADATA, 1), undefined);
  t.equal(of(GROUP, 239, 0, 0, 1), undefined);
});
