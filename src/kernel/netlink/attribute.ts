import { NLA_TYPE_MASK } from "./constants.ts";

const HEADER_BYTES = 4;

/**
 * The attributes behind a fixed structure of `offset` bytes (`linux/netlink.h`, struct nlattr).
 * Unknown ones are kept, a truncated tail is not read, and the last of a type wins.
 */
export function readAttributes(body: Uint8Array, offset: number): Map<number, Uint8Array> {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const found = new Map<number, Uint8Array>();
  for (let at = offset; at + HEADER_BYTES <= body.length;) {
    const length = view.getUint16(at, true);
    if (length < HEADER_BYTES || at + length > body.length) break;
    const type = view.getUint16(at + 2, true) & NLA_TYPE_MASK;
    found.set(type, body.subarray(at + HEADER_BYTES, at + length));
    at += (length + 3) & ~3;
  }
  return found;
}

/** A 32-bit number, or `undefined` when the attribute is absent or has another size. */
export function readU32(value: Uint8Array | undefined): number | undefined {
  if (value === undefined || value.length !== 4) return undefined;
  return new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true);
}

/** A 16-bit number in network order, as ports are. */
export function readPort(value: Uint8Array | undefined): number | undefined {
  return value?.length === 2 ? value[0]! << 8 | value[1]! : undefined;
}

/** Text up to its closing zero. Names of links are bytes; what is not UTF-8 is replaced. */
export function readText(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
}
