import { type Address, addressBytes, addressFromBytes } from "../../ip/address.ts";
import { type Mac, macBytes, macFromBytes } from "../../ip/mac.ts";
import { readAttributes } from "./attribute.ts";
import { AF, NDA, NDMSG_BYTES, NLM_F, NTF_SELF, NUD_PERMANENT, RTM } from "./constants.ts";
import { LITTLE_ENDIAN, type MessageWriter, type Request } from "./message.ts";

/** Who has an address (`ip neigh`), or where a tunnel sends a MAC address (`bridge fdb`). */
export interface NeighbourRecord {
  readonly sort: "neighbour" | "forwarding";
  readonly linkIndex: number;
  /** The neighbour's, or of the tunnel's other end. */
  readonly address?: Address;
  readonly mac?: Mac;
}

/** One as it was found. */
export interface NeighbourFound extends NeighbourRecord {
  readonly permanent: boolean;
  /** With no port, VNI or link of its own. */
  readonly plain: boolean;
}

/** Asks for a permanent entry. `replace`: it may take the place of one that is there. */
export function writeAddNeighbour(
  writer: MessageWriter,
  record: NeighbourRecord,
  request: Request & { readonly replace: boolean },
): void {
  const flags = NLM_F.create | (request.replace ? NLM_F.replace : NLM_F.exclusive);
  writeNeighbour(writer, RTM.newNeighbour, flags, record, request);
}

/** A forwarding entry goes with all of its ends, a neighbour with whatever MAC address it has. */
export function writeDeleteNeighbour(
  writer: MessageWriter,
  { sort, linkIndex, address, mac }: NeighbourRecord,
  request: Request,
): void {
  const key = sort === "neighbour" ? address && { address } : mac && { mac };
  writeNeighbour(writer, RTM.deleteNeighbour, 0, { sort, linkIndex, ...key }, request);
}

function writeNeighbour(
  writer: MessageWriter,
  type: number,
  flags: number,
  { sort, linkIndex, address, mac }: NeighbourRecord,
  { sequence, ack }: Request,
): void {
  writer.begin(type, NLM_F.request | flags | (ack ? NLM_F.ack : 0), sequence);
  // `linux/neighbour.h`, struct ndmsg: family, three bytes, link, state, flags, type.
  const header = new Uint8Array(NDMSG_BYTES);
  header[0] = sort === "forwarding" ? AF.bridge : address?.family === 6 ? AF.inet6 : AF.inet;
  const view = new DataView(header.buffer);
  view.setInt32(4, linkIndex, LITTLE_ENDIAN);
  view.setUint16(8, NUD_PERMANENT, LITTLE_ENDIAN);
  header[10] = sort === "forwarding" ? NTF_SELF : 0;
  writer.raw(header);
  if (address !== undefined) writer.attribute(NDA.destination, addressBytes(address));
  if (mac !== undefined) writer.attribute(NDA.mac, macBytes(mac));
  writer.finish();
}

/** Asks for the neighbours of one link; an older kernel sends those of all. */
export function writeDumpNeighbours(
  writer: MessageWriter,
  linkIndex: number,
  sequence: number,
): void {
  writer.begin(RTM.getNeighbour, NLM_F.request | NLM_F.dump, sequence);
  writer.raw(new Uint8Array(NDMSG_BYTES));
  writer.attributeU32(NDA.linkIndex, linkIndex);
  writer.finish();
}

/** Asks for the forwarding entries of one link; an older kernel sends those of all. */
export function writeDumpForwarding(
  writer: MessageWriter,
  linkIndex: number,
  sequence: number,
): void {
  writer.begin(RTM.getNeighbour, NLM_F.request | NLM_F.dump, sequence);
  const header = new Uint8Array(NDMSG_BYTES);
  header[0] = AF.bridge;
  new DataView(header.buffer).setInt32(4, linkIndex, LITTLE_ENDIAN);
  writer.raw(header);
  writer.finish();
}

/**
 * Reads the body of an RTM_NEWNEIGH; `undefined` for families that are neither IP nor bridge, and
 * for what a bridge knows of a port of its: only NTF_SELF is the link's own.
 */
export function readNeighbour(body: Uint8Array): NeighbourFound | undefined {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const family = body[0];
  if (family !== AF.bridge && family !== AF.inet && family !== AF.inet6) return undefined;
  if (family === AF.bridge && (body[10]! & NTF_SELF) === 0) return undefined;
  const attributes = readAttributes(body, NDMSG_BYTES);
  const address = attributes.get(NDA.destination);
  const mac = attributes.get(NDA.mac);
  return {
    sort: family === AF.bridge ? "forwarding" : "neighbour",
    linkIndex: view.getInt32(4, LITTLE_ENDIAN),
    ...(address === undefined ? {} : { address: addressFromBytes(address) }),
    ...(mac?.length !== 6 ? {} : { mac: macFromBytes(mac) }),
    permanent: (view.getUint16(8, LITTLE_ENDIAN) & NUD_PERMANENT) !== 0,
    plain: ![NDA.port, NDA.vni, NDA.linkIndex].some((type) => attributes.has(type)),
  };
}
