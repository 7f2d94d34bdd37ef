import { utf8 } from "../../base/bytes.ts";
import { type Address, addressBytes, addressFromBytes } from "../../ip/address.ts";
import { type Mac, macBytes, macFromBytes } from "../../ip/mac.ts";
import { readAttributes, readPort, readText, readU32 } from "./attribute.ts";
import {
  IFF_UP,
  IFINFOMSG_BYTES,
  IFLA,
  IFLA_INFO,
  IFLA_VXLAN,
  NLM_F,
  RTEXT_FILTER_SKIP_STATS,
  RTM,
} from "./constants.ts";
import { LITTLE_ENDIAN, type MessageWriter, type Request } from "./message.ts";

/** What a link says of itself beside name, MTU and state; links by number. */
export interface LinkRecord {
  readonly mac: Mac;
  readonly group: number;
  readonly alias: string;
  /** Absent where the link is something else, or does more. */
  readonly vxlan?: VxlanRecord;
}

export interface VxlanRecord {
  readonly vni: number;
  readonly port: number;
  readonly local: Address;
  readonly underlayIndex: number;
  readonly learning: boolean;
  readonly gbp: boolean;
}

export interface NewLink {
  readonly name: string;
  readonly mac: Mac;
  readonly mtu: number;
  readonly group: number;
  readonly vxlan: VxlanRecord;
}

/** What of a link is to be another; what is absent stays. */
export interface LinkSettings {
  readonly mac?: Mac;
  readonly mtu?: number;
  readonly alias?: string;
  readonly up?: true;
}

/** Asks for all links, without their counters. */
export function writeDumpLinks(writer: MessageWriter, sequence: number): void {
  writer.begin(RTM.getLink, NLM_F.request | NLM_F.dump, sequence);
  writer.raw(new Uint8Array(IFINFOMSG_BYTES));
  writer.attributeU32(IFLA.extensionMask, RTEXT_FILTER_SKIP_STATS);
  writer.finish();
}

/**
 * Asks for a new link, which is down. The kernel refuses when one has the name, or another tunnel
 * its VNI and port. An alias it would not take with it (`rtnl_create_link`).
 */
export function writeAddLink(writer: MessageWriter, link: NewLink, request: Request): void {
  begin(writer, RTM.newLink, NLM_F.create | NLM_F.exclusive, request);
  writer.raw(new Uint8Array(IFINFOMSG_BYTES));
  writer.attribute(IFLA.name, text(link.name));
  writer.attribute(IFLA.address, macBytes(link.mac));
  writer.attributeU32(IFLA.mtu, link.mtu);
  writer.attributeU32(IFLA.group, link.group);
  writer.nest(IFLA.linkInfo, () => {
    writer.attribute(IFLA_INFO.kind, text("vxlan"));
    writer.nest(IFLA_INFO.data, () => writeVxlan(writer, link.vxlan));
  });
  writer.finish();
}

/** Asks to change a link, all or nothing but in the order of the kernel (`do_setlink`): up is last. */
export function writeSetLink(
  writer: MessageWriter,
  index: number,
  { mac, mtu, alias, up }: LinkSettings,
  request: Request,
): void {
  begin(writer, RTM.setLink, 0, request);
  writer.raw(header(index, up === true));
  if (mtu !== undefined) writer.attributeU32(IFLA.mtu, mtu);
  if (mac !== undefined) writer.attribute(IFLA.address, macBytes(mac));
  if (alias !== undefined) writer.attribute(IFLA.alias, text(alias));
  writer.finish();
}

export function writeDeleteLink(writer: MessageWriter, index: number, request: Request): void {
  begin(writer, RTM.deleteLink, 0, request);
  writer.raw(header(index, false));
  writer.finish();
}

/** Reads the attributes of an RTM_NEWLINK. */
export function readLinkRecord(attributes: ReadonlyMap<number, Uint8Array>): LinkRecord {
  const mac = attributes.get(IFLA.address);
  const info = readAttributes(attributes.get(IFLA.linkInfo) ?? NOTHING, 0);
  const data = info.get(IFLA_INFO.data);
  const isVxlan = readText(info.get(IFLA_INFO.kind)) === "vxlan" && data !== undefined;
  const vxlan = isVxlan ? readVxlan(readAttributes(data, 0)) : undefined;
  return {
    mac: mac === undefined ? "" : macFromBytes(mac),
    group: readU32(attributes.get(IFLA.group)) ?? 0,
    alias: readText(attributes.get(IFLA.alias)) ?? "",
    ...(vxlan === undefined ? {} : { vxlan }),
  };
}

function writeVxlan(writer: MessageWriter, vxlan: VxlanRecord): void {
  const { vni, port, local, underlayIndex, learning, gbp } = vxlan;
  writer.attributeU32(IFLA_VXLAN.id, vni);
  writer.attributeU32(IFLA_VXLAN.link, underlayIndex);
  writer.attribute(
    local.family === 4 ? IFLA_VXLAN.local : IFLA_VXLAN.local6,
    addressBytes(local),
  );
  writer.attribute(IFLA_VXLAN.learning, Uint8Array.of(learning ? 1 : 0));
  writer.attribute(IFLA_VXLAN.port, Uint8Array.of(port >> 8, port & 0xff));
  if (gbp) writer.attribute(IFLA_VXLAN.gbp, NOTHING);
}

/** What a tunnel of Denim never has; a flag of the kernel's is there with the value 0 where it is off. */
const STRANGE = [
  ...[IFLA_VXLAN.group, IFLA_VXLAN.group6, IFLA_VXLAN.proxy, IFLA_VXLAN.rsc, IFLA_VXLAN.l2Miss],
  ...[IFLA_VXLAN.l3Miss, IFLA_VXLAN.collectMetadata],
];

function readVxlan(attributes: ReadonlyMap<number, Uint8Array>): VxlanRecord | undefined {
  const isOn = (type: number) => attributes.get(type)?.some((byte) => byte !== 0) === true;
  const local = attributes.get(IFLA_VXLAN.local) ?? attributes.get(IFLA_VXLAN.local6);
  if (local === undefined || STRANGE.some(isOn) || attributes.has(IFLA_VXLAN.gpe)) return undefined;
  return {
    vni: readU32(attributes.get(IFLA_VXLAN.id)) ?? 0,
    port: readPort(attributes.get(IFLA_VXLAN.port)) ?? 0,
    local: addressFromBytes(local),
    underlayIndex: readU32(attributes.get(IFLA_VXLAN.link)) ?? 0,
    learning: isOn(IFLA_VXLAN.learning),
    gbp: attributes.has(IFLA_VXLAN.gbp),
  };
}

/** `linux/rtnetlink.h`, struct ifinfomsg: family, type, index, flags, which of them are meant. */
function header(index: number, up: boolean): Uint8Array {
  const bytes = new Uint8Array(IFINFOMSG_BYTES);
  const view = new DataView(bytes.buffer);
  view.setInt32(4, index, LITTLE_ENDIAN);
  view.setUint32(8, up ? IFF_UP : 0, LITTLE_ENDIAN);
  view.setUint32(12, up ? IFF_UP : 0, LITTLE_ENDIAN);
  return bytes;
}

function begin(writer: MessageWriter, type: number, flags: number, request: Request): void {
  const ack = request.ack ? NLM_F.ack : 0;
  writer.begin(type, NLM_F.request | flags | ack, request.sequence);
}

/** With the zero that ends it. */
function text(value: string): Uint8Array {
  return utf8(`${value}\0`);
}

const NOTHING = new Uint8Array(0);
