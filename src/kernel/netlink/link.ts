import {
  AF,
  IFADDRMSG_BYTES,
  IFINFOMSG_BYTES,
  IFLA,
  NLM_F,
  RTEXT_FILTER_SKIP_STATS,
  RTM,
} from "./constants.ts";
import type { MessageWriter } from "./message.ts";

/** Asks for all links, without their counters. */
export function writeDumpLinks(writer: MessageWriter, sequence: number): void {
  writer.begin(RTM.getLink, NLM_F.request | NLM_F.dump, sequence);
  writer.raw(new Uint8Array(IFINFOMSG_BYTES));
  writer.attributeU32(IFLA.extensionMask, RTEXT_FILTER_SKIP_STATS);
  writer.finish();
}

/** Asks for the addresses of all links, both families. */
export function writeDumpAddresses(writer: MessageWriter, sequence: number): void {
  writer.begin(RTM.getAddress, NLM_F.request | NLM_F.dump, sequence);
  const header = new Uint8Array(IFADDRMSG_BYTES);
  header[0] = AF.unspec;
  writer.raw(header);
  writer.finish();
}
