import { type Address, addressBytes } from "../../ip/address.ts";
import { AF, IFA, IFA_F_NODAD, IFADDRMSG_BYTES, NLM_F, RTM } from "./constants.ts";
import { LITTLE_ENDIAN, type MessageWriter, type Request } from "./message.ts";

/** One address of a link, links by number. */
export interface AddressRecord {
  readonly linkIndex: number;
  readonly address: Address;
  /** Bits of the on-link prefix. */
  readonly length: number;
}

/** Asks for the addresses of all links, both families. */
export function writeDumpAddresses(writer: MessageWriter, sequence: number): void {
  writer.begin(RTM.getAddress, NLM_F.request | NLM_F.dump, sequence);
  const header = new Uint8Array(IFADDRMSG_BYTES);
  header[0] = AF.unspec;
  writer.raw(header);
  writer.finish();
}

/** Asks for an address without a lifetime; IPv6 does not look for duplicates of it. */
export function writeAddAddress(
  writer: MessageWriter,
  record: AddressRecord,
  request: Request,
): void {
  writeAddress(writer, RTM.newAddress, NLM_F.create | NLM_F.exclusive, record, request);
}

export function writeDeleteAddress(
  writer: MessageWriter,
  record: AddressRecord,
  request: Request,
): void {
  writeAddress(writer, RTM.deleteAddress, 0, record, request);
}

function writeAddress(
  writer: MessageWriter,
  type: number,
  flags: number,
  { linkIndex, address, length }: AddressRecord,
  { sequence, ack }: Request,
): void {
  writer.begin(type, NLM_F.request | flags | (ack ? NLM_F.ack : 0), sequence);
  // `linux/if_addr.h`, struct ifaddrmsg: family, prefix length, flags, scope (global), link.
  const header = new Uint8Array(IFADDRMSG_BYTES);
  header[0] = address.family === 4 ? AF.inet : AF.inet6;
  header[1] = length;
  header[2] = address.family === 6 ? IFA_F_NODAD : 0;
  new DataView(header.buffer).setUint32(4, linkIndex, LITTLE_ENDIAN);
  writer.raw(header);
  writer.attribute(IFA.local, addressBytes(address));
  writer.attribute(IFA.address, addressBytes(address));
  writer.finish();
}
